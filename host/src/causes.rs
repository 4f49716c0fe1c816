//! An error and what caused it, each part said once.

use std::error::Error;

/// What an error says, and then its causes, from the outermost to the innermost. Libraries
/// put the text of a cause into their own: what was said already is left out.
#[must_use]
pub fn all(error: &dyn Error) -> String {
    let mut said = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !said.contains(&text) {
            said = format!("{said}: {text}");
        }
        cause = error.source();
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{text}")]
    struct Layer {
        text: &'static str,
        source: Option<Box<Layer>>,
    }

    fn layers(texts: &[&'static str]) -> Option<Box<Layer>> {
        let (text, rest) = texts.split_first()?;
        let source = layers(rest);
        Some(Box::new(Layer { text, source }))
    }

    #[test]
    fn each_part_is_said_once() {
        for (texts, said) in [
            (&["a"][..], "a"),
            (&["outer", "inner", "innermost"], "outer: inner: innermost"),
            (&["db: refused at 5", "refused at 5"], "db: refused at 5"),
            (&["place", "db: refused", "refused"], "place: db: refused"),
        ] {
            let error = layers(texts).expect("one at least");
            assert_eq!(all(&*error), said);
        }
    }
}
