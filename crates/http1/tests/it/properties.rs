//! What holds for all heads: written, they read back; cut, they read the same; and no other strict reader disagrees.

use super::{LIMITS, request, trickled};
use http::header::{HeaderName, HeaderValue};
use proptest::prelude::*;
use vestibule_http1::{
    Edited, Edits, Framing, Parsed, Progress, RequestHead, RequestKind, read_request, read_response,
};
use vestibule_http1::{write_request, write_response};

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

fn complete(bytes: &[u8]) -> RequestHead {
    match request(bytes) {
        Ok(Parsed::Complete(head)) => head,
        other => panic!("{other:?}"),
    }
}

fn owned<'b>(fields: impl Iterator<Item = (&'b [u8], &'b [u8])>) -> Vec<(Vec<u8>, Vec<u8>)> {
    fields.map(|(name, value)| (name.to_vec(), value.to_vec())).collect()
}

/// `Host` and its like are in the list above by their own spelling; these never are forwarded.
fn is_forwarded(name: &[u8]) -> bool {
    !matches!(
        name.to_ascii_lowercase().as_slice(),
        b"te"
            | b"keep-alive"
            | b"trailer"
            | b"upgrade"
            | b"connection"
            | b"content-length"
            | b"transfer-encoding"
            | b"proxy-connection"
            | b"http2-settings"
            | b"proxy-authorization"
            | b"proxy-authenticate"
    )
}

#[derive(Clone, Debug)]
enum Edit {
    Set(String, String),
    Append(String, String),
    Remove(String),
}

fn edit() -> impl Strategy<Value = Edit> {
    let name = prop::sample::select(vec!["x-foo", "x-bar", "via", "host", "x-new"]).prop_map(str::to_owned);
    prop_oneof![
        (name.clone(), "[a-z]{0,5}").prop_map(|(name, value)| Edit::Set(name, value)),
        (name.clone(), "[a-z]{0,5}").prop_map(|(name, value)| Edit::Append(name, value)),
        name.prop_map(Edit::Remove),
    ]
}

/// The edits on a plain list, as the documentation of each says.
fn edited(mut lines: Vec<(Vec<u8>, Vec<u8>)>, edits: &[Edit]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let is = |name: &str, line: &(Vec<u8>, Vec<u8>)| line.0.eq_ignore_ascii_case(name.as_bytes());
    for edit in edits {
        match edit {
            Edit::Append(name, value) => lines.push((name.clone().into(), value.clone().into())),
            Edit::Remove(name) => lines.retain(|line| !is(name, line)),
            Edit::Set(name, value) => {
                let mut placed = false;
                lines.retain_mut(|line| {
                    if !is(name, line) {
                        return true;
                    }
                    line.1 = value.clone().into();
                    !std::mem::replace(&mut placed, true)
                });
                if !placed {
                    lines.push((name.clone().into(), value.clone().into()));
                }
            }
        }
    }
    lines
}

fn apply(edits: &[Edit]) -> Edits {
    let mut all = Edits::default();
    let value = |value: &str| HeaderValue::from_str(value).expect("a value");
    let name = |name: &str| HeaderName::from_bytes(name.as_bytes()).expect("a name");
    for edit in edits {
        match edit {
            Edit::Set(n, v) => all.set(name(n), value(v)),
            Edit::Append(n, v) => all.append(name(n), value(v)),
            Edit::Remove(n) => all.remove(name(n)),
        }
    }
    all
}

proptest! {
    #[test]
    fn what_is_written_reads_back_as_the_same_fields_in_the_same_order(head in head()) {
        let bytes = encode(&head);
        let table = complete(&bytes);
        let mut out = Vec::new();
        write_request(&table, &bytes, table.target(&bytes), &Edits::default(), table.framing(), &mut out);
        let again = complete(&out);

        prop_assert_eq!(again.target(&out), head.0.as_bytes());
        let sent: Vec<_> = owned(table.fields().iter(&bytes)).into_iter().filter(|(name, _)| is_forwarded(name)).collect();
        prop_assert_eq!(owned(again.fields().iter(&out)), sent);
    }

    #[test]
    fn edits_do_what_they_say(head in head(), edits in prop::collection::vec(edit(), 0..8)) {
        let bytes = encode(&head);
        let table = complete(&bytes);
        let applied = apply(&edits);
        let before: Vec<_> = owned(table.fields().iter(&bytes)).into_iter().filter(|(name, _)| is_forwarded(name)).collect();
        let expected = edited(before, &edits);

        let mut out = Vec::new();
        write_request(&table, &bytes, b"/", &applied, Framing::None, &mut out);
        let multiset = |mut lines: Vec<(Vec<u8>, Vec<u8>)>| {
            lines.iter_mut().for_each(|line| line.0.make_ascii_lowercase());
            lines.sort();
            lines
        };
        prop_assert_eq!(multiset(owned(complete(&out).fields().iter(&out))), multiset(expected.clone()));

        let view = Edited { fields: table.fields(), bytes: &bytes, edits: &applied };
        for name in ["x-foo", "x-bar", "via", "host", "x-new"] {
            let header = HeaderName::from_static(name);
            let lines: Vec<Vec<u8>> = view.lines(&header).map(<[u8]>::to_vec).collect();
            let wanted: Vec<Vec<u8>> = expected.iter().filter(|line| line.0.eq_ignore_ascii_case(name.as_bytes())).map(|line| line.1.clone()).collect();
            prop_assert_eq!(lines, wanted, "{}", name);
        }
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

    #[test]
    fn a_response_that_is_written_reads_back(head in head(), status in 200u16..600, length in any::<u32>()) {
        let bytes = String::from_utf8(encode(&head)).expect("text").replacen("GET", "HTTP/1.1", 1);
        let bytes = format!("HTTP/1.1 {status} Fine\r\n{}", bytes.split_once("\r\n").expect("a line").1).into_bytes();
        let read = |bytes: &[u8]| match read_response(bytes, &mut Progress::default(), &LIMITS, RequestKind::Other) {
            Ok(Parsed::Complete(head)) => head,
            other => panic!("{other:?}"),
        };
        let table = read(&bytes);
        let mut out = Vec::new();
        let code = http::StatusCode::from_u16(status).expect("a status");
        write_response(&table, &bytes, code, &Edits::default(), Framing::Length(u64::from(length)), &mut out);
        let again = read(&out);
        prop_assert_eq!((again.status(), again.reason(&out), again.declared_length()), (status, &b"Fine"[..], Some(u64::from(length))));
        let sent: Vec<_> = owned(table.fields().iter(&bytes)).into_iter().filter(|(name, _)| is_forwarded(name)).collect();
        prop_assert_eq!(&owned(again.fields().iter(&out))[..sent.len()], &sent[..]);
    }
}

#[test]
fn what_speaks_to_this_hop_goes_no_further_and_the_body_is_framed_anew() {
    let bytes =
        b"POST /x HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, X-Foo, content-type\r\nX-Foo: 1\r\nKeep-Alive: 5\r\n\
                  TE: trailers\r\nContent-Type: t\r\nTransfer-Encoding: Chunked\r\nUpgrade: h2c\r\nX-Bar: 2\r\n\r\n";
    let table = complete(bytes);
    let mut edits = Edits::default();
    edits.set(HeaderName::from_static("te"), HeaderValue::from_static("trailers"));
    edits.set(HeaderName::from_static("x-bar"), HeaderValue::from_static("3"));
    let mut out = Vec::new();
    write_request(&table, bytes, b"/y", &edits, Framing::Chunked, &mut out);
    let text = "POST /y HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nContent-Type: t\r\nX-Bar: 3\r\ntransfer-encoding: chunked\r\n\r\n";
    assert_eq!(String::from_utf8_lossy(&out), text);

    let bytes = b"POST /x HTTP/1.1\r\nContent-Length: 5\r\nHost: a\r\n\r\n";
    let table = complete(bytes);
    for (framing, text) in [
        (Framing::Length(5), "POST / HTTP/1.1\r\nContent-Length: 5\r\nHost: a\r\n\r\n"),
        (Framing::Length(6), "POST / HTTP/1.1\r\nHost: a\r\ncontent-length: 6\r\n\r\n"),
        (Framing::None, "POST / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ] {
        let mut out = Vec::new();
        write_request(&table, bytes, b"/", &Edits::default(), framing, &mut out);
        assert_eq!(String::from_utf8_lossy(&out), text);
    }
}
