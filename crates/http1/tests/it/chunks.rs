//! Chunked bodies, row by row.

use proptest::prelude::*;
use vestibule_http1::ChunkFault::*;
use vestibule_http1::{
    AtEof, BodyReader, CHUNK_END, ChunkFault, Chunks, Framing, HeadFault, LAST_CHUNK, write_chunk_head,
    write_last_chunk_with_trailers,
};

/// Body and length of what was used up; `None` when it has not ended.
type Read = Result<Option<(Vec<u8>, usize)>, ChunkFault>;

fn read_in(pieces: &[&[u8]]) -> Read {
    let mut chunks = Chunks::new(64, 2);
    let (mut body, mut used) = (Vec::new(), 0);
    for piece in pieces {
        let mut rest = *piece;
        while !rest.is_empty() && !chunks.is_finished() {
            let step = chunks.step(rest)?;
            assert!(step.consumed > 0, "it moves on");
            body.extend_from_slice(&rest[step.data.clone()]);
            used += step.consumed;
            rest = &rest[step.consumed..];
            assert_eq!(step.end, chunks.is_finished());
        }
    }
    Ok(chunks.is_finished().then_some((body, used)))
}

/// Reads `bytes` whole and byte by byte, which must agree.
fn read(bytes: &[u8]) -> Read {
    let whole = read_in(&[bytes]);
    let pieces: Vec<&[u8]> = bytes.chunks(1).collect();
    assert_eq!(read_in(&pieces), whole, "{:?}", String::from_utf8_lossy(bytes));
    whole
}

#[test]
fn what_is_no_chunk_is_refused() {
    for (text, fault) in [
        ("\r\n", Size),
        ("x\r\n", Size),
        (" 5\r\n", Size),
        ("5 \r\n", Size),
        ("5\t\r\n", Size),
        ("+5\r\n", Size),
        ("-1\r\n", Size),
        ("0x5\r\n", Size),
        ("5_0\r\n", Size),
        ("00000000000000005\r\n", Size),
        ("fffffffffffffffff\r\n", Size),
        (";a\r\n", Size),
        ("5,\r\n", Size),
        ("5\n", LineEnd),
        ("5\rhello", LineEnd),
        ("5;\r\n", Extension),
        ("5;;a\r\n", Extension),
        ("5; a\r\n", Extension),
        ("5;a \r\n", Extension),
        ("5;a=\r\n", Extension),
        ("5;a=b c\r\n", Extension),
        ("5;a=b=c\r\n", Extension),
        ("5;=b\r\n", Extension),
        ("5;a\n", Extension),
        ("5;a=\"b\r\n", Extension),
        ("5;a=\"b\"c\r\n", Extension),
        ("5;a=\"\x01\"\r\n", Extension),
        ("5;a=\"\\\x7f\"\r\n", Extension),
        ("5;a\x07\r\n", Extension),
        ("5\r\nhello5\r\n", LineEnd),
        ("5\r\nhello\n", LineEnd),
        ("5\r\nhello\r5", LineEnd),
        ("5\r\nhello\r\n\r\n", Size),
        ("0\n\r\n", LineEnd),
        ("0\r\nx: y\n\r\n", Trailer(HeadFault::BareLf)),
        ("0\r\n\n", Trailer(HeadFault::BareLf)),
        ("0\r\nno colon\r\n\r\n", Trailer(HeadFault::FieldName)),
        ("0\r\n x: y\r\n\r\n", Trailer(HeadFault::ObsoleteFold)),
        ("0\r\nx : y\r\n\r\n", Trailer(HeadFault::SpaceBeforeColon)),
        ("0\r\nx: \0\r\n\r\n", Trailer(HeadFault::FieldValue)),
        ("0\r\nGET / HTTP/1.1\r\n\r\n", Trailer(HeadFault::FieldName)),
        ("0\r\na: b\r\na: b\r\na: b\r\n\r\n", Trailer(HeadFault::TooManyFields)),
    ] {
        assert_eq!(read(text.as_bytes()), Err(fault), "{text:?}");
    }
    let long = format!("0\r\nx: {}\r\n\r\n", "y".repeat(64));
    assert_eq!(read(long.as_bytes()), Err(Trailer(HeadFault::TooManyBytes)));
}

#[test]
fn a_body_is_the_bytes_of_its_chunks() {
    for (text, body) in [
        ("0\r\n\r\n", ""),
        ("000\r\n\r\n", ""),
        ("5\r\nhello\r\n0\r\n\r\n", "hello"),
        ("0000000000000005\r\nhello\r\n0\r\n\r\n", "hello"),
        ("A;a\r\n0123456789\r\n1;a=b;c=\"d\\\"\"\r\nx\r\n0;e\r\nx: y\r\nContent-Length: 5\r\n\r\n", "0123456789x"),
        ("2\r\n\r\n\r\n0\r\n\r\n", "\r\n"),
    ] {
        let with_next = format!("{text}GET / HTTP/1.1");
        assert_eq!(read(with_next.as_bytes()), Ok(Some((body.as_bytes().to_vec(), text.len()))), "{text:?}");
    }
    assert_eq!(read(b"5\r\nhell"), Ok(None));
}

#[test]
fn extensions_are_bounded() {
    assert_eq!(read(format!("0;{}\r\n\r\n", "a".repeat(1023)).as_bytes()), Ok(Some((vec![], 1029))));
    assert_eq!(read(format!("0;{}\r\n\r\n", "a".repeat(1024)).as_bytes()), Err(ExtensionsTooLong));
    assert_eq!(read("1;aaa\r\nx\r\n".repeat(5000).as_bytes()), Err(ExtensionsTooLong));
}

#[test]
fn trailers_are_read_but_for_those_that_would_frame_the_message() {
    let mut body = BodyReader::new(Framing::Chunked, 200, 10);
    let text = b"0\r\nX-Sum: 1\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\nhost: b\r\nx-sum:2\r\n\r\n";
    assert!(body.step(text).expect("a body").end);
    let trailers: Vec<_> = body.trailers().iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
    assert_eq!(trailers, [("x-sum", &b"1"[..]), ("x-sum", b"2")]);
}

#[test]
fn the_end_of_the_stream_ends_a_body_or_cuts_it_off() {
    for (framing, sent, at_eof) in [
        (Framing::None, "", AtEof::Complete),
        (Framing::Length(0), "", AtEof::Complete),
        (Framing::Length(3), "abc", AtEof::Complete),
        (Framing::Length(3), "ab", AtEof::Truncated),
        (Framing::Chunked, "1\r\na\r\n0\r\n", AtEof::Truncated),
        (Framing::Chunked, "1\r\na\r\n0\r\n\r\n", AtEof::Complete),
        (Framing::UntilClose, "abc", AtEof::Complete),
    ] {
        let mut body = BodyReader::new(framing, 0, 0);
        body.step(sent.as_bytes()).expect("a body");
        assert_eq!(body.at_eof(), at_eof, "{framing:?} {sent:?}");
    }
    let mut body = BodyReader::Length(3);
    let step = body.step(b"abcGET").expect("a body");
    assert_eq!((step.consumed, step.data, step.end), (3, 0..3, true));
}

proptest! {
    #[test]
    fn what_is_written_reads_back(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..6), cut in 0usize..200) {
        let mut bytes = Vec::new();
        for piece in &pieces {
            write_chunk_head(piece.len(), &mut bytes);
            bytes.extend_from_slice(piece);
            bytes.extend_from_slice(CHUNK_END);
        }
        match cut % 2 {
            0 => bytes.extend_from_slice(LAST_CHUNK),
            _ => write_last_chunk_with_trailers([], &mut bytes),
        }
        let (a, b) = bytes.split_at(cut.min(bytes.len()));
        prop_assert_eq!(read_in(&[a, b]), Ok(Some((pieces.concat(), bytes.len()))));
    }

    #[test]
    fn any_bytes_end_in_a_verdict_that_does_not_depend_on_cuts(text in "([0-9a-f]{1,2}(;a(=b)?)?\r\n)?[ -~\r\n]{0,20}(\r\n)?(0\r\n\r\n)?", cut in 0usize..60) {
        let bytes = text.as_bytes();
        let (a, b) = bytes.split_at(cut.min(bytes.len()));
        prop_assert_eq!(read_in(&[a, b]), read_in(&[bytes]));
    }
}
