//! Names that were probably meant.

/// Bytes of a name that is compared, at most. Names that are known are shorter.
const MAX_LEN: usize = 40;

/// The known name that is nearest to `name`, if it is near enough to have been meant: letters
/// apart in their case, or a few letters missing, added, wrong, or in each other's place.
#[must_use]
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let candidates = known.into_iter().filter_map(|known| {
        let apart = distance(name.as_bytes(), known.as_bytes())?;
        let longest = name.len().max(known.len());
        (apart <= ((longest + 1) / 3).clamp(1, 3)).then_some((apart, known))
    });
    candidates
        .min_by_key(|(apart, _)| *apart)
        .map(|(_, known)| known)
}

/// Letters that have to be changed, added, left out or swapped with their neighbour to make one
/// name of the other. `None` for names that are too long to be compared.
fn distance(a: &[u8], b: &[u8]) -> Option<usize> {
    if a.len() > MAX_LEN || b.len() > MAX_LEN {
        return None;
    }
    let mut last = [0; MAX_LEN + 1];
    let mut row = [0; MAX_LEN + 1];
    for (place, cell) in row.iter_mut().enumerate() {
        *cell = place;
    }
    for (i, x) in a.iter().enumerate() {
        let before = core::mem::replace(&mut last, row);
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let is_same = x.eq_ignore_ascii_case(y);
            let mut best = last[j] + usize::from(!is_same);
            best = best.min(last[j + 1] + 1).min(row[j] + 1);
            if i > 0
                && j > 0
                && x.eq_ignore_ascii_case(&b[j - 1])
                && a[i - 1].eq_ignore_ascii_case(y)
            {
                best = best.min(before[j - 1] + 1);
            }
            row[j + 1] = best;
        }
    }
    Some(row[b.len()])
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [&str; 8] = [
        "id",
        "name",
        "welcome",
        "model",
        "limits",
        "reply",
        "chat_per_10s",
        "sessions",
    ];

    #[test]
    fn what_was_meant_is_found() {
        for (name, meant) in [
            ("limts", "limits"),
            ("limit", "limits"),
            ("modle", "model"),
            ("naem", "name"),
            ("Name", "name"),
            ("ID", "id"),
            ("welcom", "welcome"),
            ("chats_per_10s", "chat_per_10s"),
            ("chat_per_10", "chat_per_10s"),
            ("chatPer10s", "chat_per_10s"),
            ("session", "sessions"),
            ("repyl", "reply"),
        ] {
            assert_eq!(nearest(name, KNOWN), Some(meant), "{name}");
        }
    }

    #[test]
    fn what_resembles_nothing_is_not_guessed_at() {
        let long = "limits".repeat(100);
        for name in [
            "", "plan", "x", "title", "notes", "email", "tenant", "é", &long,
        ] {
            assert_eq!(nearest(name, KNOWN), None, "{name}");
        }
    }

    #[test]
    fn distances_are_known() {
        for (a, b, apart) in [
            ("", "", 0),
            ("", "abc", 3),
            ("abc", "", 3),
            ("kitten", "sitting", 3),
            ("ab", "ba", 1),
            ("abcd", "acbd", 1),
            ("ca", "abc", 3),
        ] {
            assert_eq!(distance(a.as_bytes(), b.as_bytes()), Some(apart), "{a} {b}");
        }
    }
}
