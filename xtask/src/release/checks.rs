//! Whether everything that names a version names the one that is released.

use anyhow::{Context as _, Result};

/// What names a version, and what the release is made from.
#[derive(Debug, Clone)]
pub(super) struct Sources<'a> {
    /// That of Cargo.toml.
    pub(super) version: &'a str,
    /// Tags of the commit that is checked out, one a line.
    pub(super) tags: &'a str,
    /// Files that are not as they were committed, one a line.
    pub(super) changed: &'a str,
    /// The text of Cargo.toml.
    pub(super) workspace: &'a str,
    /// The text of CHANGELOG.md.
    pub(super) changelog: &'a str,
    /// The text of the npm package's package.json.
    pub(super) package: &'a str,
    /// Texts that name the npm package's file, and their own names.
    pub(super) readmes: &'a [(&'a str, String)],
}

impl Sources<'_> {
    /// Everything that a release must not go out with.
    ///
    /// # Errors
    /// A manifest can't be read.
    pub(super) fn problems(&self) -> Result<Vec<String>> {
        let mut problems = Vec::new();
        let tag = format!("v{}", self.version);
        if !self.tags.lines().any(|found| found == tag) {
            problems.push(format!("the commit has no tag {tag}"));
        }
        let is_another = |found: &&str| found.starts_with('v') && **found != tag;
        let others = self.tags.lines().filter(is_another);
        problems.extend(others.map(|found| format!("the commit has the tag {found}, too")));
        let changed = self.changed.lines().map(str::trim);
        problems.extend(changed.map(|file| format!("not committed: {file}")));
        problems.extend(self.members()?);
        problems.extend(self.changes());

        let package: serde_json::Value =
            serde_json::from_str(self.package).context("web/npm/package.json")?;
        if package["version"] != self.version {
            let found = &package["version"];
            problems.push(format!("web/npm/package.json: the version is {found}"));
        }
        for (name, text) in self.readmes {
            problems.extend(self.tarballs(name, text));
        }
        Ok(problems)
    }

    /// Members that others ask for in another version.
    fn members(&self) -> Result<Vec<String>> {
        let table: toml::Table = self.workspace.parse().context("Cargo.toml")?;
        let workspace = table.get("workspace");
        let dependencies =
            workspace.and_then(|workspace| workspace.get("dependencies")?.as_table());
        let asked = dependencies
            .into_iter()
            .flatten()
            .filter_map(|(name, asked)| {
                asked.get("path")?;
                Some((name, asked.get("version")?.as_str()?))
            });
        let others = asked.filter(|(_, version)| *version != self.version);
        Ok(others
            .map(|(name, version)| format!("Cargo.toml: {name} is asked for in version {version}"))
            .collect())
    }

    /// What is wrong with the changelog: it must have a section for this version, with a date,
    /// as its newest one, and nothing that waits for a later release.
    fn changes(&self) -> Vec<String> {
        let mut sections: Vec<(&str, usize)> = Vec::new();
        for line in self.changelog.lines() {
            if let Some(title) = line.strip_prefix("## ") {
                sections.push((title.trim(), 0));
            } else if let Some((_, lines)) = sections.last_mut()
                && !line.trim().is_empty()
            {
                *lines += 1;
            }
        }
        let mut problems = Vec::new();
        let unreleased = sections.iter().find(|(title, _)| *title == "[Unreleased]");
        if unreleased.is_some_and(|(_, lines)| *lines > 0) {
            problems.push("CHANGELOG.md: something is not released yet".to_owned());
        }
        let mut released = sections
            .iter()
            .filter(|(title, _)| *title != "[Unreleased]");
        let is_right = released.next().is_some_and(|(title, lines)| {
            let date = title.strip_prefix(&format!("[{}] - ", self.version));
            date.is_some_and(is_date) && *lines > 0
        });
        if !is_right {
            problems.push(format!(
                "CHANGELOG.md: the newest section is not `## [{}] - YYYY-MM-DD`",
                self.version
            ));
        }
        problems
    }

    /// Names of the npm package's file that are of another version.
    fn tarballs(&self, name: &str, text: &str) -> Vec<String> {
        let parts = text.split("tenantry-").skip(1);
        let versions = parts.filter_map(|rest| Some(rest.split_once(".tgz")?.0));
        let is_version = |found: &&str| found.starts_with(|first: char| first.is_ascii_digit());
        let others = versions
            .filter(is_version)
            .filter(|found| *found != self.version);
        others
            .map(|found| format!("{name}: names tenantry-{found}.tgz"))
            .collect()
    }
}

/// Whether a text is like `2026-11-26`.
fn is_date(text: &str) -> bool {
    let form = text.chars().map(|letter| match letter {
        '0'..='9' => '0',
        other => other,
    });
    form.eq("0000-00-00".chars())
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORKSPACE: &str = "[workspace.dependencies]\na = { path = \"a\", version = \"1.2.3\" }\n\
                             b = { path = \"b\" }\nc = \"7\"\n";
    const CHANGELOG: &str = "# Changelog\n\n## [Unreleased]\n\n## [1.2.3] - 2026-11-26\n\n- A.\n\n## [1.2.2] - 2026-01-01\n";

    fn sources<'a>(readmes: &'a [(&'a str, String)]) -> Sources<'a> {
        Sources {
            version: "1.2.3",
            tags: "v1.2.3\nnightly\n",
            changed: "",
            workspace: WORKSPACE,
            changelog: CHANGELOG,
            package: r#"{"name": "tenantry", "version": "1.2.3"}"#,
            readmes,
        }
    }

    #[test]
    fn a_release_that_names_one_version_has_no_problems() {
        let readmes = [(
            "README.md",
            "target/web/tenantry-1.2.3.tgz tenantry-core".to_owned(),
        )];
        assert_eq!(sources(&readmes).problems().expect("readable"), [""; 0]);
    }

    #[test]
    fn each_other_version_is_a_problem() {
        let problems = |sources: Sources<'_>| sources.problems().expect("readable");
        let good = sources(&[]);
        for (sources, expected) in [
            (
                Sources {
                    tags: "",
                    ..good.clone()
                },
                "the commit has no tag v1.2.3",
            ),
            (
                Sources {
                    tags: "v1.2.3\nv2.0.0",
                    ..good.clone()
                },
                "the commit has the tag v2.0.0, too",
            ),
            (
                Sources {
                    changed: " M Cargo.toml\n",
                    ..good.clone()
                },
                "not committed: M Cargo.toml",
            ),
            (
                Sources {
                    package: r#"{"version": "1.2.4"}"#,
                    ..good.clone()
                },
                "web/npm/package.json: the version is \"1.2.4\"",
            ),
        ] {
            assert_eq!(problems(sources), [expected]);
        }
        let workspace = WORKSPACE.replace("1.2.3", "1.2.2");
        let sources = Sources {
            workspace: &workspace,
            ..good.clone()
        };
        assert_eq!(
            problems(sources),
            ["Cargo.toml: a is asked for in version 1.2.2"]
        );
        let readmes = [("README.md", "./tenantry-0.9.0.tgz".to_owned())];
        let sources = Sources {
            readmes: &readmes,
            ..good
        };
        assert_eq!(problems(sources), ["README.md: names tenantry-0.9.0.tgz"]);
    }

    #[test]
    fn the_changelog_has_the_release_and_nothing_after_it() {
        let missing = "CHANGELOG.md: the newest section is not `## [1.2.3] - YYYY-MM-DD`";
        let waiting = "CHANGELOG.md: something is not released yet";
        for (from, to, expected) in [
            ("[1.2.3] - 2026-11-26", "[1.2.3]", vec![missing]),
            ("[1.2.3] - 2026-11-26", "[1.2.3] - today", vec![missing]),
            ("## [1.2.3] - 2026-11-26\n\n- A.\n", "", vec![missing]),
            ("- A.\n", "", vec![missing]),
            ("[Unreleased]\n", "[Unreleased]\n- B.\n", vec![waiting]),
        ] {
            let changelog = CHANGELOG.replace(from, to);
            let sources = Sources {
                changelog: &changelog,
                ..sources(&[])
            };
            assert_eq!(sources.problems().expect("readable"), expected, "{to}");
        }
    }
}
