//! Writing fields as HTTP/1 has them: lines that lie as they are to be written are written together. Pure.

use super::{Fields, LINE_END, Line, SEPARATOR, Source};

/// How a name is written that did not come in HTTP/1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spelling {
    /// In small letters.
    Small,
    /// As is usual in HTTP/1: some servers that should not care do.
    Usual,
}

impl Fields {
    /// Writes every line as HTTP/1 has it, with its end.
    pub fn write(&self, spelling: Spelling, out: &mut Vec<u8>) {
        let mut lines = &self.lines[..];
        while !lines.is_empty() {
            let (run, rest) = lines.split_at(self.run(lines).max(1));
            match run {
                [line] => self.write_line(line, spelling, out),
                run => self.write_run(run, spelling, out),
            }
            lines = rest;
        }
    }

    /// Counts the lines at the beginning of `lines` that lie somewhere as they are to be written, one behind the other.
    fn run(&self, lines: &[Line]) -> usize {
        let Some(first) = lines.first() else { return 0 };
        let source = self.source(first.name.source);
        let mut next = first.name.start as usize;

        let lies_next = |line: &&Line| {
            let (name, value) = (line.name.range(), line.value.range());
            let is_next = line.name.source == first.name.source
                && line.value.source == first.name.source
                && name.start == next
                && name.end + SEPARATOR.len() == value.start
                && source[name.end..].starts_with(SEPARATOR)
                && source[value.end..].starts_with(LINE_END);
            next = value.end + LINE_END.len();
            is_next
        };
        lines.iter().take_while(lies_next).count()
    }

    fn write_run(&self, run: &[Line], spelling: Spelling, out: &mut Vec<u8>) {
        let [first, .., last] = run else { return };
        let (written, from) = (out.len(), first.name.start as usize);
        let source = self.source(first.name.source);
        out.extend_from_slice(&source[from..last.value.range().end + LINE_END.len()]);

        if first.name.source == Source::Added && spelling == Spelling::Usual {
            for Line { name, .. } in run {
                spell_usually(&mut out[written..][name.start as usize - from..][..name.length as usize]);
            }
        }
    }

    fn write_line(&self, line: &Line, spelling: Spelling, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(self.bytes(line.name));
        if line.name.source == Source::Added && spelling == Spelling::Usual {
            spell_usually(&mut out[start..]);
        }

        for part in [SEPARATOR, self.bytes(line.value), LINE_END] {
            out.extend_from_slice(part);
        }
    }
}

/// Makes the first letter of each word of a name a capital.
fn spell_usually(name: &mut [u8]) {
    let mut at_start = true;
    for byte in name {
        if at_start {
            byte.make_ascii_uppercase();
        }
        at_start = *byte == b'-';
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use http::header::{HeaderName, HeaderValue};

    fn written(fields: &Fields, spelling: Spelling) -> String {
        let mut out = b"before\r\n".to_vec();
        fields.write(spelling, &mut out);
        String::from_utf8(out).expect("text").split_off(8)
    }

    #[test]
    fn lines_that_came_as_they_are_written_are_written_together() {
        let head = Bytes::from_static(b"A: 1\r\nB:2\r\nC: 3\r\nD: 4\r\nE:  5 \r\nF: 6\r\n");
        let lines = [(0, 3), (6, 8), (11, 14), (17, 20), (23, 27), (31, 34)];
        let ranges = lines.map(|(name, value)| (name..name + 1, value..value + 1));
        let mut fields = Fields::of_head(head, ranges.into_iter(), 1);
        assert_eq!(written(&fields, Spelling::Small), "A: 1\r\nB: 2\r\nC: 3\r\nD: 4\r\nE: 5\r\nF: 6\r\n");
        fields.remove("c");
        fields.set(HeaderName::from_static("a"), HeaderValue::from_static("x"));
        assert_eq!(written(&fields, Spelling::Small), "A: x\r\nB: 2\r\nD: 4\r\nE: 5\r\nF: 6\r\n");
    }

    #[test]
    fn lines_that_were_added_are_written_together_but_for_those_changed_since() {
        let mut fields = Fields::new();
        for name in ["x-a", "x-b", "x-c", "x-d", "x-e", "x-f"] {
            fields.append(HeaderName::from_static(name), HeaderValue::from_static("1"));
        }
        fields.remove("x-b");
        fields.set(HeaderName::from_static("x-d"), HeaderValue::from_static("2"));
        assert_eq!(written(&fields, Spelling::Small), "x-a: 1\r\nx-c: 1\r\nx-d: 2\r\nx-e: 1\r\nx-f: 1\r\n");
        assert_eq!(written(&fields, Spelling::Usual), "X-A: 1\r\nX-C: 1\r\nX-D: 2\r\nX-E: 1\r\nX-F: 1\r\n");
    }
}
