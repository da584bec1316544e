//! Properties of all heads: they read as the fields they were written from; cut, they read the same; and no other strict
//! reader disagrees.

use super::{LIMITS, request, trickled};
use proptest::prelude::*;
use vestibule_http1::{Parsed, Progress, read_request};

/// Names that mean nothing to the codec, and some that do.
fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[A-Za-z!#$%&'*+.^_`|~0-9-]{1,12}",
        1 => prop::sample::select(vec!["Host", "Accept", "Cookie", "x-foo", "X-Bar", "User-Agent", "Via"]).prop_map(str::to_owned),
    ]
    .prop_filter("twins are refused", |name| {
        !["content-length", "transfer-encoding", "host", "connection"].contains(&name.replace('_', "-").to_lowercase().as_str())
            || name == "Host"
    })
}

fn value() -> impl Strategy<Value = String> {
    "([!-~\u{a0}-\u{ff}]([ \t!-~\u{a0}-\u{ff}]{0,20}[!-~])?)?"
}

fn head() -> impl Strategy<Value = (String, Vec<(String, String)>)> {
    ("/[!\"$-~]{0,20}", prop::collection::vec((name(), value()), 0..40))
}

fn encode((target, fields): &(String, Vec<(String, String)>)) -> Vec<u8> {
    let mut bytes = format!("GET {target} HTTP/1.1\r\n").into_bytes();
    for (name, value) in fields {
        bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
    bytes.extend_from_slice(b"\r\n");
    bytes
}

fn owned<'b>(fields: impl Iterator<Item = (&'b [u8], &'b [u8])>) -> Vec<(Vec<u8>, Vec<u8>)> {
    fields.map(|(name, value)| (name.to_vec(), value.to_vec())).collect()
}

proptest! {
    #[test]
    fn every_line_is_read_in_its_order(head in head()) {
        let bytes = encode(&head);
        let Ok(Parsed::Complete(table)) = request(&bytes) else { panic!("{}", bytes.escape_ascii()) };
        let lines: Vec<_> = head.1.iter().map(|(name, value)| (name.clone().into_bytes(), value.clone().into_bytes())).collect();
        prop_assert_eq!(table.target(&bytes), head.0.as_bytes());
        prop_assert_eq!(owned(table.fields().iter(&bytes)), lines);
        let of = |range: std::ops::Range<u32>| bytes[range.start as usize..range.end as usize].to_vec();
        let ranges: Vec<_> = table.fields().ranges().map(|(name, value)| (of(name), of(value))).collect();
        prop_assert_eq!(ranges, owned(table.fields().iter(&bytes)));
    }

    #[test]
    fn cut_anywhere_a_head_gives_the_same_table(head in head(), cuts in prop::collection::vec(0usize..2000, 0..4)) {
        let bytes = encode(&head);
        prop_assert_eq!(trickled(&bytes), request(&bytes));
        let (mut cuts, mut progress) = (cuts, Progress::default());
        cuts.sort_unstable();
        for cut in cuts.into_iter().filter(|cut| *cut < bytes.len()) {
            prop_assert_eq!(read_request(&bytes[..cut], &mut progress, &LIMITS), Ok(Parsed::Incomplete));
        }
        prop_assert_eq!(read_request(&bytes, &mut progress, &LIMITS), request(&bytes));
    }

    /// Whatever this reader accepts, httparse reads the same.
    #[test]
    fn httparse_agrees_on_what_is_accepted(text in "(GET|POST) /[ -~]{0,6} HTTP/1.[01]\r\n([a-zA-Z-]{1,4}[: \t]{1,2}[ -~\t]{0,6}(\r\n|\n|\r| )){0,5}(\r\n)?") {
        let bytes = text.as_bytes();
        let ours = request(bytes);
        prop_assert_eq!(&trickled(bytes), &ours);
        let Ok(Parsed::Complete(head)) = ours else { return Ok(()) };

        let mut fields = [httparse::EMPTY_HEADER; 64];
        let mut theirs = httparse::Request::new(&mut fields);
        // It does not take every target that is accepted here.
        let Ok(httparse::Status::Complete(length)) = theirs.parse(bytes) else { return Ok(()) };
        prop_assert_eq!(length, head.len());
        prop_assert_eq!(theirs.path.map(str::as_bytes), Some(head.target(bytes)));
        let lines: Vec<_> = theirs.headers.iter().map(|field| (field.name.as_bytes().to_vec(), field.value.to_vec())).collect();
        prop_assert_eq!(owned(head.fields().iter(bytes)), lines);
    }

    #[test]
    fn any_bytes_end_in_a_verdict(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        prop_assert_eq!(trickled(&bytes), request(&bytes));
    }
}
