//! Whether a path stays below the base path that is put in front of it. Servers
//! resolve `..` in the path that they get, some of them in its encoded forms too.

/// Whether no `..` of this path, plain or percent-encoded, leads above its
/// beginning. Backslashes and encoded slashes separate segments too, as some servers
/// have it.
pub(super) fn stays_inside(path: &[u8]) -> bool {
    let mut depth: u32 = 0;
    let mut segment = Segment::default();
    let mut rest = path;
    while let Some((byte, after)) = next(rest) {
        rest = after;
        if !matches!(byte, b'/' | b'\\') {
            segment.add(byte);
        } else if !segment.end(&mut depth) {
            return false;
        }
    }
    segment.end(&mut depth)
}

/// A segment as far as it was read.
#[derive(Default)]
struct Segment {
    dots: u32,
    others: bool,
}

impl Segment {
    fn add(&mut self, byte: u8) {
        if byte == b'.' {
            self.dots += 1;
        } else {
            self.others = true;
        }
    }

    /// Ends it; `false` if it leads above the beginning.
    fn end(&mut self, depth: &mut u32) -> bool {
        let Self { dots, others } = std::mem::take(self);
        match (dots, others) {
            // An empty segment may be removed, so it holds nothing up.
            (0 | 1, false) => {}
            (2, false) => match depth.checked_sub(1) {
                Some(above) => *depth = above,
                None => return false,
            },
            _ => *depth += 1,
        }
        true
    }
}

/// The first byte, decoded if it is an encoded dot or separator, and the rest.
fn next(path: &[u8]) -> Option<(u8, &[u8])> {
    match path {
        [b'%', b'2', b'e' | b'E', rest @ ..] => Some((b'.', rest)),
        [b'%', b'2', b'f' | b'F', rest @ ..] => Some((b'/', rest)),
        [b'%', b'5', b'c' | b'C', rest @ ..] => Some((b'\\', rest)),
        [byte, rest @ ..] => Some((*byte, rest)),
        [] => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_leads_above_its_beginning_is_found_in_every_form() {
        for path in [
            "/..",
            "/../x",
            "/a/../../x",
            "..",
            "/%2e%2e/x",
            "/.%2E/x",
            "/%2e./x",
            "/a/..//../x",
            "/..\\x",
            "/a\\..\\..\\x",
            "/..%2fx",
            "/%2E%2E%5Cx",
            "/./../x",
            "//../x",
        ] {
            assert!(!stays_inside(path.as_bytes()), "{path}");
        }
    }

    #[test]
    fn a_path_that_stays_below_is_let_through() {
        for path in [
            "",
            "/",
            "/v1/models",
            "/a/../b",
            "/a/b/../..",
            "/...",
            "/..a/x",
            "/a..",
            "/v1/%2e/x",
            "/files/a%20b..pdf",
            "/a/%2e%2e/b",
        ] {
            assert!(stays_inside(path.as_bytes()), "{path}");
        }
    }
}
