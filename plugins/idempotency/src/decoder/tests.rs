use super::*;

/// 64 MiB of zeros in brotli, as repetitions of a mebibyte.
const BOMB: &[u8] = b"\xcb\xff\xff\x3f\xf8\x27\x00\xe2\xb1\x40\x20\xf7\xfe\x8f\xff\xff\x7f\xf0\x4f\x00\xc4\x61\x11\x80\xee\xfd\x1f\xff\xff\xff\xe0\x9f\x00\x88\xc3\x02\x00\xdd\xfb\x3f\xfe\xff\xff\xc1\x3f\x01\x10\x87\x05\x00\xba\xf7\x7f\xfc\xff\xff\x83\x7f\x02\x20\x0e\x0b\x00\x74\xef\xff\xf8\xff\xff\x07\xff\x04\x40\x1c\x16\x00\xe8\xde\xff\xf1\xff\xff\x0f\xfe\x09\x80\x38\x2c\x00\xd0\xbd\xff\xe3\xff\xff\x1f\xfc\x13\x00\x71\x58\x00\xa0\x7b\xff\x37";

/// Room for so many bytes.
struct Bounded(usize);

impl Room for Bounded {
    fn grow_to(&mut self, bytes: usize) -> bool {
        bytes <= self.0
    }
}

async fn decode(most: usize, room: &mut dyn Room) -> Result<Bytes, Failed> {
    Decoders::default().decode(Codec::Brotli, &Bytes::from_static(BOMB), most, room).await
}

#[tokio::test]
async fn content_beyond_a_piece_comes_whole() {
    let content = decode(64 << 20, &mut ()).await.expect("decoded");
    assert!(content.len() == 64 << 20 && content.iter().all(|byte| *byte == 0));
}

#[tokio::test]
async fn a_byte_beyond_the_bound_is_too_large() {
    for most in [1, SMALL, SMALL + 1, (64 << 20) - 1] {
        assert_eq!(decode(most, &mut ()).await, Err(Failed::TooLarge), "{most}");
    }
}

#[tokio::test]
async fn what_finds_no_room_stops_and_frees_its_decoder() {
    let decoders = Decoders::default();
    for _ in 0..=AT_ONCE {
        let room = &mut Bounded(1 << 20);
        let failed = decoders.decode(Codec::Brotli, &Bytes::from_static(BOMB), 64 << 20, room).await;
        assert_eq!(failed, Err(Failed::NoRoom));
    }
}

/// SEC 6: the thread that serves is free meanwhile.
#[tokio::test]
async fn others_are_served_while_a_large_body_is_decoded() {
    let decoding = tokio::spawn(async { decode(64 << 20, &mut ()).await.map(|content| content.len()) });
    let mut turns = 0;
    while !decoding.is_finished() {
        tokio::task::yield_now().await;
        turns += 1;
    }
    assert_eq!(decoding.await.expect("no panic"), Ok(64 << 20));
    assert!(turns > 100, "{turns}");
}
