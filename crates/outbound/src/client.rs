//! The client.

use reqwest::{Client, redirect};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

/// The authorities in a PEM file.
pub fn authorities(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match all {
        Ok(all) if all.is_empty() => Err("no certificate in it; expected PEM".to_owned()),
        Ok(all) => Ok(all),
        Err(error) => Err(error.to_string()),
    }
}

/// A client that follows nothing and trusts `own` authorities, or those of the web when there are none of one's own. It
/// keeps a connection for at most `idle`.
pub fn client(own: Option<&[CertificateDer<'static>]>, idle: Option<Duration>) -> Result<Client, String> {
    let mut roots = RootCertStore::empty();
    match own {
        Some(own) => {
            own.iter().try_for_each(|authority| roots.add(authority.clone())).map_err(|error| error.to_string())?;
        }
        None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
    }
    let tls = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Client::builder()
        .tls_backend_preconfigured(tls)
        .redirect(redirect::Policy::none())
        // The environment does not choose where requests go.
        .no_proxy()
        .http1_only()
        .pool_max_idle_per_host(usize::from(idle.is_some()))
        .pool_idle_timeout(idle)
        .user_agent(concat!("vestibule/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| error.to_string())
}

/// What is behind the layers that say the address again.
pub fn innermost(error: &reqwest::Error) -> String {
    let mut cause: &dyn Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}
