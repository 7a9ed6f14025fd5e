//! The one TLS set-up that all provider sockets share, so that sessions are resumed.
//!
//! It refuses to know whom it protects.

use std::sync::Arc;

use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, RootCertStore};

/// Trusts the public certificate authorities compiled into the program, whatever the machine trusts. Make one
/// per process: each has a session cache of its own.
pub fn public_roots() -> Arc<ClientConfig> {
    trusting(webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect())
}

pub(super) fn trusting(roots: RootCertStore) -> Arc<ClientConfig> {
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("aws-lc-rs speaks TLS 1.2 and 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth();
    Arc::new(config)
}
