use super::*;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::json;

fn encode(bytes: &[u8]) -> String {
    STRICT.encode(bytes)
}

/// A P-256 pair and its JWK with this name.
fn pair(id: &str) -> (EcdsaKeyPair, Value) {
    let random = SystemRandom::new();
    let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).expect("a pair");
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document.as_ref(), &random).expect("a pair");
    let point = pair.public_key().as_ref();
    let jwk = json!({"kty": "EC", "crv": "P-256", "kid": id, "x": encode(&point[1..33]), "y": encode(&point[33..])});
    (pair, jwk)
}

fn with(mut jwk: Value, name: &str, value: Value) -> Value {
    jwk[name] = value;
    jwk
}

fn read(keys: &[Value]) -> Result<ReadSet, String> {
    read_set(json!({ "keys": keys }).to_string().as_bytes())
}

fn why(key: Value) -> &'static str {
    let (_, good) = pair("good");
    let mut read = read(&[key, good]).expect("a set");
    assert_eq!((read.set.len(), read.skipped.len()), (1, 1));
    read.skipped.remove(0).why
}

#[test]
fn a_signature_is_good_under_its_own_key_and_algorithm_alone() {
    let (pair, jwk) = pair("a");
    let set = read(&[jwk]).expect("a set").set;
    let signature = pair.sign(&SystemRandom::new(), b"signed").expect("a signature");
    let key = set.candidates(Algorithm::Es256, Some("a")).next().expect("the key");
    assert!(key.verifies(Algorithm::Es256, b"signed", signature.as_ref()));
    assert!(!key.verifies(Algorithm::Es256, b"other", signature.as_ref()));
    assert!(!key.verifies(Algorithm::Es384, b"signed", signature.as_ref()));
    assert_eq!(set.candidates(Algorithm::Es256, Some("b")).count(), 0);
    assert_eq!(set.candidates(Algorithm::Es256, None).count(), 1);
    assert_eq!(set.candidates(Algorithm::Rs256, Some("a")).count(), 0);
}

#[test]
fn a_key_without_a_name_serves_tokens_without_one() {
    let (_, mut jwk) = pair("a");
    jwk.as_object_mut().expect("an object").shift_remove("kid");
    let set = read(&[jwk]).expect("a set").set;
    assert_eq!(set.candidates(Algorithm::Es256, None).count(), 1);
    assert_eq!(set.candidates(Algorithm::Es256, Some("a")).count(), 0);
}

#[test]
fn at_most_four_keys_are_tried() {
    let keys: Vec<Value> = (0..9).map(|_| pair("same").1).collect();
    assert_eq!(read(&keys).expect("a set").set.candidates(Algorithm::Es256, Some("same")).count(), 4);
}

/// AU-05 and AU-06, as far as a set alone says so.
#[test]
fn what_cannot_be_used_is_left_out() {
    let (_, jwk) = pair("a");
    let small = encode(&[0xff; 128]);
    for (key, expected) in [
        (json!({"kty": "oct", "k": "c2VjcmV0", "kid": "a"}), "a shared secret has no place in a key set"),
        (with(jwk.clone(), "d", json!("AAAA")), "it holds private members"),
        (with(jwk.clone(), "use", json!("enc")), "its `use` is not sig"),
        (with(jwk.clone(), "key_ops", json!(["sign"])), "its `key_ops` have no verify"),
        (with(jwk.clone(), "alg", json!("ES384")), "its `alg` does not go with its `kty`"),
        (with(jwk.clone(), "alg", json!("HS256")), "its `alg` does not go with its `kty`"),
        (with(jwk.clone(), "alg", json!("none")), "its `alg` is not in use"),
        (with(jwk.clone(), "kid", json!(7)), "its `kid` is no text"),
        (with(jwk.clone(), "crv", json!("P-521")), "its `kty` or `crv` is not in use"),
        (with(jwk.clone(), "x", json!("AAAA")), "a coordinate of the wrong length"),
        (with(jwk.clone(), "x", json!(encode(&[7; 32]))), "a point that is not on its curve"),
        (with(jwk.clone(), "x", json!("a+b/")), "a member is no base64url"),
        (json!({"kty": "RSA", "n": small, "e": "AQAB"}), "an RSA key under 2048 bits"),
        (json!({"kty": "RSA", "n": encode(&[0xff; 256]), "e": "AQ"}), "an RSA exponent nobody uses"),
        (json!({"kty": "OKP", "crv": "Ed25519", "x": "AAAA"}), "an Ed25519 key that is not 32 bytes"),
        (json!("a"), "it is no object"),
    ] {
        assert_eq!(why(key.clone()), expected, "{key}");
    }
    for good in [json!({"use": "sig"}), json!({"key_ops": ["sign", "verify"]}), json!({"alg": "ES256"})] {
        let mut key = jwk.clone();
        key.as_object_mut().expect("an object").extend(good.as_object().expect("an object").clone());
        assert_eq!(read(&[key]).expect("a set").set.len(), 1);
    }
}

/// AU-27
#[test]
fn what_is_no_set_changes_nothing() {
    let (_, jwk) = pair("a");
    for text in ["", "<html>", "{", "[]", "{}", r#"{"keys":{}}"#, r#"{"keys":[]}"#, r#"{"keys":[{"kty":"oct"}]}"#] {
        assert!(read_set(text.as_bytes()).is_err(), "{text}");
    }
    assert!(read(&vec![jwk.clone(); 100]).is_ok());
    assert!(read(&vec![jwk; 101]).is_err());
}

#[test]
fn another_key_under_the_same_name_is_another_key() {
    let one = read(&[pair("a").1]).expect("a set").set;
    let (_, jwk) = pair("a");
    let (two, again) =
        (read(std::slice::from_ref(&jwk)).expect("a set").set, read(std::slice::from_ref(&jwk)).expect("a set").set);
    let renamed = read(&[with(jwk, "kid", json!("b"))]).expect("a set").set;
    let print = two.keys[0].print();
    assert!(!one.holds(print) && again.holds(print) && !renamed.holds(print));
}

#[test]
fn a_public_key_in_pem_is_read_and_nothing_else() {
    let point = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE";
    let (pair, _) = pair("a");
    let body = base64::engine::general_purpose::STANDARD.encode(
        [&base64::engine::general_purpose::STANDARD.decode(point).expect("base64")[..26], pair.public_key().as_ref()]
            .concat(),
    );
    let pem = format!("-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----\n");
    assert!(matches!(read_pem(pem.as_bytes()), Ok(Material::P256(_))), "{:?}", read_pem(pem.as_bytes()));
    for text in ["", "key", &pem.replace("PUBLIC", "PRIVATE"), &pem.replace("MFkw", "MFkx")] {
        assert!(read_pem(text.as_bytes()).is_err(), "{text}");
    }
}

#[test]
fn a_name_in_a_log_is_short_and_plain() {
    assert_eq!(shown("a\n\0\"é"), "a\\n\\0\\\"");
    assert_eq!(shown(&"k".repeat(300)).len(), 64);
}
