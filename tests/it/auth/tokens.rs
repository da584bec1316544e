//! Which tokens are good.

use super::issuer::{AUDIENCE, ISSUER, now, set, table};
use super::*;
use serde_json::json;

/// AU-01
#[tokio::test]
async fn every_algorithm_in_use_is_verified_and_the_application_told() {
    let pens =
        [Pen::rsa("rs", "RS256"), Pen::rsa("rs", "PS256"), Pen::es256("es"), Pen::es384("es3"), Pen::eddsa("ed")];
    let stage = Stage::new(Issuer::publishing(&pens.iter().collect::<Vec<_>>()), "").await;
    for pen in &pens {
        stage.accepts(&pen.token(), &pen.jwk().to_string()).await;
        let seen = stage.origin.last();
        assert_eq!(seen.field("x-auth-subject"), "alice");
        assert_eq!(seen.field("x-auth-roles"), "admin,buyer");
        assert!(seen.field("authorization").starts_with("Bearer "), "it is forwarded unless the file says otherwise");
    }
}

/// AU-01
#[tokio::test]
async fn a_shared_secret_verifies_hs256_alone() {
    let secret = b"0123456789abcdef0123456789abcdef";
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("secret");
    std::fs::write(&path, [secret, &b"\n"[..]].concat()).expect("a file");
    let origin = Origin::returning(200, "ok");
    let toml = table().replace("[\"RS256\", \"PS256\", \"ES256\", \"ES384\", \"EdDSA\"]", "[\"HS256\"]");
    let proxy = before(&origin, &format!("{toml}secret_file = \"{}\"\n", path.display())).await;
    let ask = |token: String| proxy.get("/").header("authorization", format!("Bearer {token}"));
    assert_eq!(ask(Pen::hs256(secret).token()).await.status, 200);
    assert_eq!(ask(Pen::hs256(b"another secret of thirty-two byte").token()).await.status, 401);
    assert_eq!(ask(Pen::es256("secret").token()).await.status, 401);
}

/// AU-02 and AU-03
#[tokio::test]
async fn a_mode_says_what_none_and_a_bad_one_mean() {
    let routes = "[[routes]]\nname = \"open\"\npath = \"/open\"\nauth = \"optional\"\n\
                  [[routes]]\nname = \"off\"\npath = \"/off\"\nauth = \"off\"\n";
    let (stage, _) = Stage::with(routes).await;
    for (path, bad, status) in
        [("/", false, 401), ("/open", false, 200), ("/off", false, 200), ("/open", true, 401), ("/off", true, 200)]
    {
        let hits = stage.origin.hits();
        let mut request = stage.proxy.get(path);
        if bad {
            request = request.header("authorization", "Bearer a.b.c");
        }
        let answer = request.await;
        assert_eq!(answer.status, status, "{path} {bad}");
        assert_eq!(stage.origin.hits() > hits, status == 200);
        if status == 200 {
            assert!(!stage.origin.last().fields.has("x-auth-subject"));
        } else {
            let said = challenges(&answer);
            assert_eq!(said.len(), 1);
            assert!(said[0].starts_with("Bearer realm=\"vestibule\""), "{said:?}");
            assert_eq!(said[0].contains("error="), bad, "{said:?}");
        }
    }
    for (outcome, count) in [("missing", 1.0), ("anonymous", 1.0), ("off", 2.0), ("malformed", 1.0)] {
        assert_eq!(stage.decided(outcome).await, count, "{outcome}");
    }
}

/// AU-04
#[tokio::test]
async fn a_token_without_a_signature_is_no_token() {
    let (stage, pen) = Stage::with("").await;
    for name in ["none", "None", "NONE", "nOnE"] {
        let signed = pen.sign_as(&json!({"alg": name, "kid": "one"}), &claims(&json!({})).to_string());
        stage.refuses(&signed, name).await;
        let bare = signed.rsplit_once('.').expect("parts").0;
        stage.refuses(&format!("{bare}."), name).await;
    }
}

/// AU-05
#[tokio::test]
async fn a_public_key_is_never_a_secret() {
    let rsa = Pen::rsa("rs", "RS256");
    let jwk = rsa.jwk();
    let shared = Pen::hs256(b"0123456789abcdef0123456789abcdef");
    let stage = Stage::new(Issuer::saying(set(&[jwk.clone(), shared.jwk()])), "").await;
    let scrape = stage.proxy.metrics().await;
    assert_eq!(scrape.value("vestibule_auth_jwks_keys", &[]), 1.0, "the secret is left out");
    let pem = include_str!("rsa.pem");
    for secret in [pem.as_bytes(), jwk.to_string().as_bytes(), jwk["n"].as_str().expect("text").as_bytes()] {
        for id in ["rs", "secret"] {
            let header = json!({"alg": "HS256", "kid": id});
            let token = Pen::hs256(secret).sign_as(&header, &claims(&json!({})).to_string());
            stage.refuses(&token, "a key taken for a secret").await;
        }
    }
    stage.refuses(&shared.token(), "a secret of the set").await;
    stage.accepts(&rsa.token(), "the key itself").await;
}

/// AU-06
#[tokio::test]
async fn an_algorithm_is_bound_to_its_key() {
    let (rs, es) = (Pen::rsa("rs", "RS256"), Pen::es256("es"));
    let mut bound = rs.jwk();
    bound["alg"] = json!("PS256");
    let stage = Stage::new(Issuer::saying(set(&[bound, es.jwk()])), "").await;
    stage.refuses(&rs.token(), "RS256 for a key of PS256").await;
    let all = claims(&json!({})).to_string();
    stage.refuses(&Pen::es384("es").sign_as(&json!({"alg": "ES384", "kid": "es"}), &all), "ES384 for P-256").await;
    stage.refuses(&es.sign_as(&json!({"alg": "RS512", "kid": "es"}), &all), "not configured").await;
    stage.refuses(&rs.sign_as(&json!({"alg": "rs256", "kid": "rs"}), &all), "another spelling").await;
    stage.accepts(&Pen::rsa("rs", "PS256").token(), "the one it is bound to").await;
}

/// AU-07
#[tokio::test]
async fn no_key_and_no_address_comes_from_a_token() {
    let (stage, _) = Stage::with("").await;
    let attacker = Pen::es256("one");
    let server = Issuer::publishing(&[&attacker]);
    let address = format!("{}/keys", server.endpoint.url());
    for own in
        [json!({"jwk": attacker.jwk()}), json!({"jku": address}), json!({"x5u": address}), json!({"x5c": ["MIIB"]})]
    {
        let mut header = json!({"alg": "ES256", "kid": "one"});
        header.as_object_mut().expect("an object").extend(own.as_object().expect("an object").clone());
        stage.refuses(&attacker.sign_as(&header, &claims(&json!({})).to_string()), &own.to_string()).await;
    }
    assert_eq!(server.endpoint.hits(), 0);
}

/// AU-08
#[tokio::test]
async fn a_key_id_is_compared_and_nothing_else() {
    let (stage, pen) = Stage::with("").await;
    for id in [
        json!("../../etc/passwd"),
        json!("' or 1=1"),
        json!("k".repeat(300)),
        json!("\u{0}"),
        json!(["one"]),
        json!(1),
        json!(null),
    ] {
        let header = json!({"alg": "ES256", "kid": id});
        stage.refuses(&pen.sign_as(&header, &claims(&json!({})).to_string()), &id.to_string()).await;
    }
    stage.accepts(&pen.sign_as(&json!({"alg": "ES256"}), &claims(&json!({})).to_string()), "no id").await;
}

/// AU-09, AU-10 and AU-11
#[tokio::test]
async fn claims_are_checked_one_by_one() {
    let (stage, pen) = Stage::with("max_lifetime = \"1h\"\n").await;
    let start = now();
    for good in [
        json!({"exp": start - 4.0}),
        json!({"exp": start + 60.5}),
        json!({"nbf": start + 4.0}),
        json!({"aud": [AUDIENCE, "other"]}),
        json!({"iat": start, "exp": start + 3600.0}),
        json!({"sub": null}),
    ] {
        stage.accepts(&pen.sign(&claims(&good)), &good.to_string()).await;
    }
    for bad in [
        json!({"exp": start - 6.0}),
        json!({"nbf": start + 8.0}),
        json!({"iat": start + 8.0}),
        json!({"iat": start, "exp": start + 3601.0}),
        json!({"exp": null}),
        json!({"exp": "123"}),
        json!({"exp": -1}),
        json!({"iss": null}),
        json!({"iss": "https://other.example"}),
        json!({"iss": [ISSUER]}),
        json!({"iss": format!("{ISSUER}/")}),
        json!({"aud": "other"}),
        json!({"aud": null}),
        json!({"sub": ""}),
    ] {
        stage.refuses(&pen.sign(&claims(&bad)), &bad.to_string()).await;
    }
    let header = json!({"alg": "ES256", "kid": "one"});
    for exp in ["1e400", "null"] {
        let text = format!("{{\"iss\":\"{ISSUER}\",\"aud\":\"{AUDIENCE}\",\"exp\":{exp}}}");
        stage.refuses(&pen.sign_as(&header, &text), exp).await;
    }
    let expired = stage.bearing(&pen.sign(&claims(&json!({"exp": start - 60.0})))).await;
    assert!(challenges(&expired)[0].ends_with("error_description=\"the token has expired\""), "{:?}", expired.fields);
    let forged = Pen::es256("one").sign(&claims(&json!({"exp": start - 60.0})));
    let forged = stage.bearing(&forged).await;
    assert!(challenges(&forged)[0].ends_with("error_description=\"the token is not acceptable\""));
}

/// AU-12
#[tokio::test]
async fn a_token_has_the_shape_of_one() {
    let (stage, pen) = Stage::with("").await;
    let all = claims(&json!({})).to_string();
    for more in [json!({"crit": ["exp"]}), json!({"b64": false}), json!({"zip": "DEF"}), json!({"typ": "logout+jwt"})] {
        let mut header = json!({"alg": "ES256", "kid": "one"});
        header.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        stage.refuses(&pen.sign_as(&header, &all), &more.to_string()).await;
    }
    let header = json!({"alg": "ES256", "kid": "one"});
    let twice = all.replacen('{', "{\"sub\":\"bob\",", 1);
    let deep = all.replacen('{', &format!("{{\"x\":{}{},", "[".repeat(16), "]".repeat(16)), 1);
    for text in [twice.as_str(), "[]", "\"a\"", &deep] {
        stage.refuses(&pen.sign_as(&header, text), text).await;
    }
    let token = pen.token();
    let parts: Vec<&str> = token.split('.').collect();
    for text in [format!("{token}.a.b"), format!("{}.{}", parts[0], parts[1]), "..".to_owned(), format!("{token}=")] {
        stage.refuses(&text, "parts").await;
    }
    for kind in ["JWT", "at+jwt", "AT+JWT", "application/jwt"] {
        let header = json!({"alg": "ES256", "kid": "one", "typ": kind});
        stage.accepts(&pen.sign_as(&header, &all), kind).await;
    }
}

/// AU-13
#[tokio::test]
async fn a_token_has_a_length_and_an_alphabet() {
    let (stage, pen) = Stage::with("").await;
    // A part of `n` bytes has 4/3 n letters, rounded up: not every length can be had with one part alone.
    let of_length = |length: usize| {
        let token = |pad: usize, fill: usize| {
            let header = json!({"alg": "ES256", "kid": "one", "pad": "x".repeat(pad)});
            pen.sign_as(&header, &claims(&json!({"fill": "y".repeat(fill)})).to_string())
        };
        let fill = (length - token(0, 0).len()) * 3 / 4;
        let near = (0..4).flat_map(|pad| (fill - 10..fill + 10).map(move |fill| (pad, fill)));
        let found = near.map(|(pad, fill)| token(pad, fill)).find(|token| token.len() == length);
        found.expect("a token of this length")
    };
    stage.accepts(&of_length(8192), "8,192 bytes").await;
    stage.refuses(&of_length(8193), "8,193 bytes").await;
    let token = pen.token();
    let (head, signature) = token.rsplit_once('.').expect("parts");
    for text in [format!("{head}.{signature}=="), format!("{head}.+/{}", &signature[2..]), token.replacen('.', " .", 1)]
    {
        stage.refuses(&text, &text).await;
    }
}

/// AU-28
#[tokio::test]
async fn a_good_token_is_verified_once_and_counts_to_its_end() {
    let (stage, pen) = Stage::with("").await;
    // The leeway of five seconds is nearly over.
    let ends = now() + 3.0;
    let token = pen.sign(&claims(&json!({ "exp": ends - 5.0 })));
    let mut connection = stage.proxy.connect().await;
    for _ in 0..1000 {
        let request = stage.proxy.get("/").header("authorization", format!("Bearer {token}"));
        if request.on(&mut connection).await.status != 200 {
            assert!(now() >= ends, "refused before its time");
            break;
        }
    }
    assert_eq!(stage.decided("token").await, 1.0);
    assert!(stage.decided("token_cached").await > 100.0);
    while now() < ends {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    stage.refuses(&token, "its end").await;
    assert!(stage.decided("expired").await >= 1.0);
    assert_eq!(stage.proxy.metrics().await.value("vestibule_auth_token_cache_entries", &[]), 0.0);
}
