//! The listener's side of TLS.

use crate::config::settings::Tls;
use pingora::listeners::tls::Acceptor;
use pingora::tls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::sync::Arc;

/// HTTP/2 first, HTTP/1.1 for those who do not speak it.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// An acceptor with this certificate and key. The error names the file and what is wrong with it.
pub fn acceptor(tls: &Tls) -> Result<Arc<Acceptor>, String> {
    let unreadable = |file: &std::path::Path, error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
    let chain = CertificateDer::pem_file_iter(&tls.cert_file)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| unreadable(&tls.cert_file, &error))?;
    let key = PrivateKeyDer::from_pem_file(&tls.key_file).map_err(|error| unreadable(&tls.key_file, &error))?;
    let mut config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| unreadable(&tls.cert_file, &error))?;
    config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
    Ok(Arc::new(Acceptor::from_server_config(Arc::new(config))))
}
