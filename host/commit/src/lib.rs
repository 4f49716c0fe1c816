//! The commit that the program is built of. A crate of its own: another commit has it built
//! again, and not what the program embeds.

#![forbid(unsafe_code)]

/// The first 12 digits of the commit, or what `TENANTRY_COMMIT` said when this was built;
/// `unknown` where there is neither.
pub const COMMIT: &str = env!("TENANTRY_COMMIT");

/// The workspace's version, and the commit.
pub const VERSION: &str = concat!(
    env!("CARGO_PKG_VERSION"),
    " (",
    env!("TENANTRY_COMMIT"),
    ")"
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commit_is_a_word() {
        let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        assert!(
            !COMMIT.is_empty() && COMMIT.bytes().all(is_letter),
            "{COMMIT}"
        );
    }
}
