use super::*;
use flate2::Compression;
use flate2::read::GzEncoder;
use proptest::prelude::*;

/// `content` as gzip; other levels make other bytes of it.
fn gzip(content: &[u8], level: u32) -> Vec<u8> {
    let mut coded = Vec::new();
    GzEncoder::new(content, Compression::new(level)).read_to_end(&mut coded).expect("memory does not fail");
    coded
}

/// What the reference encoders make of [`content`].
const BROTLI: &[u8] = b"\x1b\xe7\x03\xf8\x45\x37\x97\xea\x4a\xb7\x25\x85\x21\x16\x39\xdf\x8a\x51\x61\xa0\xf0\xc4\x5c\x8f\x0f\xce\x16\xf4\xf2\x13\x75\xa6\x02";
const ZSTD: &[u8] = b"\x28\xb5\x2f\xfd\x64\xe8\x02\x0d\x01\x00\xc8\x65\x6e\x74\x69\x74\x79\x20\x74\x61\x67\x73\x20\x73\x70\x61\x72\x65\x20\x62\x79\x74\x65\x73\x3b\x20\x01\x00\x31\xe7\x6a\x8e\x01\xc2\xa0\xd6\xc2";

fn content() -> Vec<u8> {
    b"entity tags spare bytes; ".repeat(40)
}

fn decode(codec: Codec, coded: &[u8], most: u64) -> Result<Vec<u8>, Undecodable> {
    let mut content = Vec::new();
    codec.decode(coded, most, &mut |piece| content.extend_from_slice(piece)).map(|()| content)
}

fn samples() -> [(Codec, Vec<u8>); 3] {
    [(Codec::Gzip, gzip(&content(), 6)), (Codec::Brotli, BROTLI.to_vec()), (Codec::Zstd, ZSTD.to_vec())]
}

#[test]
fn every_codec_gives_the_content_back() {
    for (codec, coded) in samples() {
        assert_eq!(decode(codec, &coded, 1000), Ok(content()), "{codec:?}");
    }
}

#[test]
fn a_byte_more_than_the_bound_is_too_large() {
    for (codec, coded) in samples() {
        assert_eq!(decode(codec, &coded, 999), Err(Undecodable::TooLarge), "{codec:?}");
    }
}

#[test]
fn a_part_is_corrupt_and_so_is_what_has_a_tail() {
    for (codec, coded) in samples() {
        for cut in 1..coded.len() {
            assert_eq!(decode(codec, &coded[..cut], 1000), Err(Undecodable::Corrupt), "{codec:?} cut at {cut}");
        }
        let tailed = [&coded[..], b"tail"].concat();
        assert_eq!(decode(codec, &tailed, 1000), Err(Undecodable::Corrupt), "{codec:?}");
    }
}

#[test]
fn a_wrong_checksum_is_corrupt() {
    for (codec, mut coded) in [(Codec::Zstd, ZSTD.to_vec()), (Codec::Gzip, gzip(&content(), 6))] {
        let in_checksum = coded.len() - if codec == Codec::Zstd { 1 } else { 5 };
        coded[in_checksum] ^= 1;
        assert_eq!(decode(codec, &coded, 1000), Err(Undecodable::Corrupt), "{codec:?}");
    }
}

#[test]
fn members_and_frames_follow_each_other() {
    let members = [gzip(b"one ", 6), gzip(b"two", 1)].concat();
    assert_eq!(decode(Codec::Gzip, &members, 1000), Ok(b"one two".to_vec()));
    // A skippable frame of three bytes stands between the two.
    let frames = b"\x28\xb5\x2f\xfd\x20\x04\x21\x00\x00one \x50\x2a\x4d\x18\x03\x00\x00\x00abc\x28\xb5\x2f\xfd\x20\x03\x19\x00\x00two";
    assert_eq!(decode(Codec::Zstd, frames, 1000), Ok(b"one two".to_vec()));
}

#[test]
fn a_window_beyond_the_coding_is_refused() {
    // One byte of content behind a 16 MiB window: RFC 9659 allows 8.
    assert_eq!(decode(Codec::Zstd, b"\x28\xb5\x2f\xfd\x00\x70\x09\x00\x00x", 1000), Err(Undecodable::TooLarge));
    // "Hello World" behind the header of a large-window stream, which RFC 7932 does not know.
    let large = b"\x11\x19\x14\x00\x02Hello World\x03";
    assert_eq!(decode(Codec::Brotli, large, 1000), Err(Undecodable::Corrupt));
}

#[test]
fn a_few_bytes_that_mean_many_stop_at_the_bound() {
    // 64 MiB of zeros, in 1 MiB repetitions of 12 bytes and less.
    let bomb: &[u8] = b"\xcb\xff\xff\x3f\xf8\x27\x00\xe2\xb1\x40\x20\xf7\xfe\x8f\xff\xff\x7f\xf0\x4f\x00\xc4\x61\x11\x80\xee\xfd\x1f\xff\xff\xff\xe0\x9f\x00\x88\xc3\x02\x00\xdd\xfb\x3f\xfe\xff\xff\xc1\x3f\x01\x10\x87\x05\x00\xba\xf7\x7f\xfc\xff\xff\x83\x7f\x02\x20\x0e\x0b\x00\x74\xef\xff\xf8\xff\xff\x07\xff\x04\x40\x1c\x16\x00\xe8\xde\xff\xf1\xff\xff\x0f\xfe\x09\x80\x38\x2c\x00\xd0\xbd\xff\xe3\xff\xff\x1f\xfc\x13\x00\x71\x58\x00\xa0\x7b\xff\x37";
    for (codec, coded) in [(Codec::Brotli, bomb.to_vec()), (Codec::Gzip, gzip(&vec![0; 8 << 20], 9))] {
        let mut seen = 0;
        let result = codec.decode(&coded, 1 << 20, &mut |piece| seen += piece.len());
        assert_eq!(result, Err(Undecodable::TooLarge));
        assert!(seen <= 1 << 20, "{codec:?} gave {seen} bytes");
    }
}

#[test]
fn the_coding_is_read_from_all_lines() {
    let read = |lines: &[&'static str]| coding_of(lines.iter().map(|line| line.as_bytes()));
    assert_eq!(read(&[]), Coding::Identity);
    assert_eq!(read(&["", " , identity"]), Coding::Identity);
    assert_eq!(read(&["GZip"]), Coding::Known(Codec::Gzip));
    assert_eq!(read(&["x-gzip, identity"]), Coding::Known(Codec::Gzip));
    assert_eq!(read(&["br"]), Coding::Known(Codec::Brotli));
    assert_eq!(read(&["zstd"]), Coding::Known(Codec::Zstd));
    assert_eq!(read(&["Deflate"]), Coding::Unknown(b"deflate".to_vec()));
    assert_eq!(read(&["gzip", "br"]), Coding::Unknown(b"gzip,br".to_vec()));
}

proptest! {
    #[test]
    fn gzip_of_anything_comes_back(content in prop::collection::vec(any::<u8>(), 0..40_000), level in 0u32..10) {
        prop_assert_eq!(decode(Codec::Gzip, &gzip(&content, level), 40_000), Ok(content));
    }

    /// Whatever an upstream sends: an answer within the bound, never a panic.
    #[test]
    fn damaged_input_ends_within_the_bound(
        which in 0usize..3,
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        noise in prop::collection::vec(any::<u8>(), 0..60),
    ) {
        let (codec, mut coded) = samples()[which].clone();
        for (at, byte) in damage {
            let at = at.index(coded.len());
            coded[at] = byte;
        }
        for input in [&coded[..], &noise, &[&coded[..8], &noise].concat()] {
            let mut seen = 0u64;
            let _ = codec.decode(input, 5000, &mut |piece| seen += piece.len() as u64);
            prop_assert!(seen <= 5000);
        }
    }
}
