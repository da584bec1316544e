//! What it costs to know who is calling: a token of 800 bytes, remembered and seen for the first time, beside the bare
//! check of its signature. Prints microseconds a request, the median of five rounds, alternating.
//!
//! `cargo bench -p vestibule-auth`

#![expect(clippy::unwrap_used, reason = "a bench may panic")]

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::{ACCEPT, AUTHORIZATION, HeaderValue};
use http::{Method, Version};
use ring::rand::SystemRandom;
use ring::signature::{self, ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Instant, SystemTime};
use vestibule_auth::{Auth, config::Config};
use vestibule_plugin::{
    Build, ClientAddress, Deps, Facts, Fields, Flow, Plugin, RequestHead, RouteId, Routes, Secret, Soon, SystemClock,
    TraceContext,
};

/// The allocator of the proxy.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Bytes of a token as identity providers make them.
const TOKEN_BYTES: usize = 800;
const REMEMBERED: usize = 200_000;
const NEW: usize = 5_000;
const ROUNDS: usize = 5;

fn main() {
    let directory = tempfile::tempdir().unwrap();
    let key_set = directory.path().join("keys.json");
    let issuer = Issuer::new();
    std::fs::write(&key_set, issuer.key_set()).unwrap();
    let plugin = |cache: usize| {
        let config = format!("algorithms = [\"ES256\"]\njwks_file = {key_set:?}\ntoken_cache = {cache}\n");
        plugin(toml::from_str(&config).unwrap())
    };
    let (remembers, forgets) = (plugin(10_000), plugin(0));
    let token = issuer.token();
    println!("a token of {} bytes, ES256", token.len());
    let mut anonymous = Fields::new();
    anonymous.set(ACCEPT, HeaderValue::from_static("*/*"));
    let mut bearing = anonymous.clone();
    bearing.set(AUTHORIZATION, HeaderValue::try_from(format!("Bearer {token}")).unwrap());
    let (signed, signed_by) = token.rsplit_once('.').unwrap();
    let signed_by = URL_SAFE_NO_PAD.decode(signed_by).unwrap();
    let key = signature::UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, issuer.keys.public_key().as_ref());

    let mut rounds: [Vec<f64>; 4] = Default::default();
    for _ in 0..ROUNDS {
        rounds[0].push(micros(REMEMBERED, || decide(&remembers, &anonymous)));
        rounds[1].push(micros(REMEMBERED, || decide(&remembers, &bearing)));
        rounds[2].push(micros(NEW, || decide(&forgets, &bearing)));
        rounds[3].push(micros(NEW, || key.verify(signed.as_bytes(), &signed_by).unwrap()));
    }
    let medians = rounds.map(|mut times| {
        times.sort_by(f64::total_cmp);
        times[ROUNDS / 2]
    });
    let [nobody, known, new, bare] = medians;
    println!("nobody in particular:      {nobody:8.3} µs");
    println!(
        "a remembered token:        {known:8.3} µs, {:.3} more, 1/{:.0} of the bare check",
        known - nobody,
        bare / known
    );
    println!("a token not seen before:   {new:8.3} µs, {:.2} of the bare check", new / bare);
    println!("a bare check of ES256:     {bare:8.3} µs");
}

/// Who signs tokens.
struct Issuer {
    keys: EcdsaKeyPair,
    random: SystemRandom,
}

impl Issuer {
    fn new() -> Self {
        let random = SystemRandom::new();
        let key = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
        let keys = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, key.as_ref(), &random).unwrap();
        Self { keys, random }
    }

    fn key_set(&self) -> String {
        // 0x04, then both coordinates.
        let (x, y) = self.keys.public_key().as_ref()[1..].split_at(32);
        let [x, y] = [x, y].map(|part| URL_SAFE_NO_PAD.encode(part));
        format!(r#"{{"keys":[{{"kty":"EC","crv":"P-256","kid":"k","alg":"ES256","use":"sig","x":"{x}","y":"{y}"}}]}}"#)
    }

    /// Good for an hour.
    fn token(&self) -> String {
        let end = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs() + 3_600;
        let claims = |filler: usize| format!(r#"{{"sub":"alice","exp":{end},"filler":"{}"}}"#, "x".repeat(filler));
        let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"ES256","kid":"k"}"#);
        let others = header.len() + claims(0).len() * 4 / 3 + 88 + 2;
        let signed = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims((TOKEN_BYTES - others) * 3 / 4)));
        let by = self.keys.sign(&self.random, signed.as_bytes()).unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(by))
    }
}

/// The hook of one request, which lets it in.
fn decide(plugin: &Auth, fields: &Fields) {
    let mut fields = fields.clone();
    let trace = TraceContext { trace_id: 1, span_id: 1, flags: 0 };
    let mut facts = Facts::new(RouteId::UNMATCHED, ClientAddress::Local, trace);
    let mut head = RequestHead {
        method: &Method::GET,
        target: "/",
        path: "/",
        authority: "example.com",
        scheme: "https",
        version: Version::HTTP_11,
        body_length: Some(0),
        fields: &mut fields,
    };
    let mut hooks = plugin.attach(&head, RouteId::UNMATCHED).unwrap();
    let Soon::Now(flow) = hooks.on_request(&mut head, &mut facts) else { unreachable!("its keys are in a file") };
    assert!(matches!(black_box(flow), Flow::Continue), "it is let in");
}

fn plugin(config: Config) -> Auth {
    let deps = Deps {
        clock: Arc::new(SystemClock::default()),
        meter: Arc::default(),
        route_names: Arc::from([String::from("unmatched")]),
        upstreams: Arc::from([]),
        secret: Arc::new(Secret::new([0; 32])),
        store: vestibule_plugin::StoreTerms::default(),
        telemetry: vestibule_plugin::Telemetry::default(),
        ipv6_prefix: 64,
    };
    let Ok(plugin) = Auth::build(config, &Routes::new(Vec::new()), (), &deps) else { panic!("it builds") };
    plugin.on_install(None);
    plugin
}

fn micros(count: usize, mut run: impl FnMut()) -> f64 {
    let start = Instant::now();
    (0..count).for_each(|_| run());
    start.elapsed().as_secs_f64() * 1e6 / count as f64
}
