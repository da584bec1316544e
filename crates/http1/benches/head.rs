//! A browser's head of twelve fields, read. Prints nanoseconds a head.
//!
//! `cargo bench -p vestibule-http1`

use std::hint::black_box;
use std::time::Instant;
use vestibule_http1::{Limits, Parsed, Progress, RequestHead, read_request};

/// Heads timed together, and how often: the least time is what it takes when nobody interrupts.
const ROUNDS: u32 = 500;
const BATCHES: u32 = 2_000;
const LIMITS: Limits = Limits { max_bytes: 64 * 1024, max_fields: 256 };
/// Most nanoseconds that reading the head may take.
const BOUND: u128 = 500;

const HEAD: &[u8] = b"GET /app/assets/main-5f0c1f6e.js?v=20260714 HTTP/1.1\r\n\
    Host: shop.example\r\n\
    Connection: keep-alive\r\n\
    sec-ch-ua: \"Chromium\";v=\"138\", \"Not=A?Brand\";v=\"8\"\r\n\
    User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/138.0.0.0 Safari/537.36\r\n\
    Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8\r\n\
    Sec-Fetch-Site: same-origin\r\n\
    Sec-Fetch-Mode: navigate\r\n\
    Sec-Fetch-Dest: document\r\n\
    Referer: https://shop.example/cart\r\n\
    Accept-Encoding: gzip, deflate, br, zstd\r\n\
    Accept-Language: en-GB,en;q=0.9\r\n\
    Cookie: session=4bf92f3577b34da6a3ce929d0e0e4736; theme=dark; consent=1\r\n\r\n";

fn main() {
    let head = read();
    assert_eq!(head.fields().len(), 12);
    let reading = nanoseconds(|| drop(black_box(read())));
    println!("read: {reading} ns for 12 fields in {} bytes, {} bytes of table", HEAD.len(), size_of::<RequestHead>());

    let mut fields = [httparse::EMPTY_HEADER; 32];
    let theirs = nanoseconds(|| {
        let _ = black_box(httparse::Request::new(&mut fields).parse(black_box(HEAD)));
    });
    println!("httparse alone: {theirs} ns");
    assert!(reading <= BOUND, "{reading} ns are more than {BOUND}");
}

fn read() -> RequestHead {
    match read_request(black_box(HEAD), &mut Progress::default(), &LIMITS) {
        Ok(Parsed::Complete(head)) => head,
        other => panic!("{other:?}"),
    }
}

fn nanoseconds(mut work: impl FnMut()) -> u128 {
    let mut batch = || {
        let began = Instant::now();
        for _ in 0..ROUNDS {
            work();
        }
        began.elapsed()
    };
    let least = (0..BATCHES).map(|_| batch()).min().unwrap_or_default();
    least.as_nanos() / u128::from(ROUNDS)
}
