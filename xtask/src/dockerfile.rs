//! Dockerfiles, as far as this project's own uses them.

use anyhow::{Context as _, Result};

/// An instruction: `ENV`, and what stands behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Instruction {
    /// Its name, in upper case.
    pub(crate) name: String,
    /// The rest of its line, continued lines joined.
    pub(crate) rest: String,
}

/// A stage: from one `FROM` to the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Stage {
    /// The image that it starts from.
    pub(crate) from: String,
    /// What is done to it.
    pub(crate) instructions: Vec<Instruction>,
}

impl Stage {
    /// What stands behind each instruction of this name.
    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let found = self.instructions.iter().filter(move |one| one.name == name);
        found.map(|one| one.rest.as_str())
    }

    /// What stands behind the one instruction of this name.
    ///
    /// # Errors
    /// There is none, or another one.
    pub(crate) fn only<'a>(&'a self, name: &'a str) -> Result<&'a str> {
        let mut all = self.all(name);
        let one = all.next().filter(|_| all.next().is_none());
        one.with_context(|| format!("the stage must have exactly one {name}"))
    }

    /// The environment that it sets.
    pub(crate) fn environment(&self) -> Vec<(&str, &str)> {
        let words = self.all("ENV").flat_map(str::split_whitespace);
        words.filter_map(|word| word.split_once('=')).collect()
    }

    /// The program that it starts, and its arguments.
    ///
    /// # Errors
    /// It is not given as a JSON list of strings.
    pub(crate) fn entrypoint(&self) -> Result<Vec<String>> {
        let text = self.only("ENTRYPOINT")?;
        serde_json::from_str(text).context("ENTRYPOINT must be a JSON list of strings")
    }
}

/// Reads a Dockerfile's stages.
pub(crate) fn stages(text: &str) -> Vec<Stage> {
    let mut stages: Vec<Stage> = Vec::new();
    for Instruction { name, rest } in instructions(text) {
        if name == "FROM" {
            stages.push(Stage {
                from: rest
                    .split_whitespace()
                    .next()
                    .unwrap_or_default()
                    .to_owned(),
                instructions: Vec::new(),
            });
        } else if let Some(stage) = stages.last_mut() {
            stage.instructions.push(Instruction { name, rest });
        }
    }
    stages
}

fn instructions(text: &str) -> Vec<Instruction> {
    let mut joined = vec![String::new()];
    for line in text.lines().map(str::trim) {
        // A comment may stand between continued lines.
        if line.starts_with('#') {
            continue;
        }
        let (part, goes_on) = match line.strip_suffix('\\') {
            Some(part) => (part, true),
            None => (line, false),
        };
        if let Some(last) = joined.last_mut() {
            last.push_str(part);
        }
        if !goes_on {
            joined.push(String::new());
        }
    }
    let words = joined
        .iter()
        .filter_map(|line| line.split_once(char::is_whitespace));
    words
        .map(|(name, rest)| Instruction {
            name: name.to_uppercase(),
            rest: rest.trim().to_owned(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_and_their_instructions_are_read() {
        let text = "# head\nFROM rust:1 AS build\nRUN a \\\n  # why\n  b\n\nfrom scratch\n\
                    env A=1 B=2\nENTRYPOINT [\"/a\", \"b\"]\n";
        let stages = stages(text);
        assert_eq!(stages.len(), 2);
        assert_eq!(stages[0].from, "rust:1");
        assert_eq!(stages[0].only("RUN").expect("one"), "a b");
        assert_eq!(stages[1].from, "scratch");
        assert_eq!(stages[1].environment(), [("A", "1"), ("B", "2")]);
        assert_eq!(stages[1].entrypoint().expect("a list"), ["/a", "b"]);
        assert!(stages[1].only("USER").is_err());
    }

    #[test]
    fn an_instruction_given_twice_is_not_the_only_one() {
        let stages = stages("FROM scratch\nUSER 1\nUSER 2\nENTRYPOINT /a b\n");
        assert!(stages[0].only("USER").is_err());
        assert!(stages[0].entrypoint().is_err());
    }
}
