//! Certificates for the connections to Redis and Postgres, as PEM. Those for BBB servers are read by `net::tls`.

use super::Env;
use redis::{ClientTlsConfig, TlsCertificates};
use rustls::RootCertStore;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use std::fs;
use std::path::Path;

/// The certificates in EXTRA_CA_FILE, as PEM. None if it is not set.
pub(super) fn extra_ca(env: &mut Env<'_>, file: Option<&Path>) -> Option<Vec<u8>> {
    let path = file?;
    let read = fs::read(path).map_err(|error| error.to_string()).and_then(|pem| match certificates(&pem) {
        Ok(found) if found.is_empty() => Err("it contains no certificate".to_owned()),
        Ok(_) => Ok(pem),
        Err(error) => Err(error),
    });
    match read {
        Ok(pem) => Some(pem),
        Err(why) => {
            let must = format!(
                "must be a readable PEM file with at least one certificate: {}: {why}",
                path.display()
            );
            env.mistake("EXTRA_CA_FILE", &must);
            None
        }
    }
}

/// What a TLS connection to Redis trusts and presents. None: the system's roots, and nothing.
pub(super) fn redis_tls(
    env: &mut Env<'_>,
    url: &str,
    extra_ca_file: Option<&Path>,
) -> Option<TlsCertificates> {
    let about = "PEM file with the certificate that we present to Redis (rediss://)";
    let certificate = env.optional("REDIS_TLS_CERT", about);
    let key = env.optional("REDIS_TLS_KEY", "PEM file with the key of REDIS_TLS_CERT");
    if !url.starts_with("rediss://") {
        for (name, value) in [("REDIS_TLS_CERT", certificate), ("REDIS_TLS_KEY", key)] {
            if value.is_some() {
                env.mistake(name, "has no effect without TLS: REDIS_URL must begin with rediss://");
            }
        }
        return None;
    }
    let client_tls = match (certificate, key) {
        (None, None) => None,
        (Some(certificate), Some(key)) => Some(ClientTlsConfig {
            client_cert: read(env, "REDIS_TLS_CERT", &certificate)?,
            client_key: read(env, "REDIS_TLS_KEY", &key)?,
        }),
        (Some(_), None) => {
            env.mistake("REDIS_TLS_KEY", "must be set where REDIS_TLS_CERT is");
            return None;
        }
        (None, Some(_)) => {
            env.mistake("REDIS_TLS_CERT", "must be set where REDIS_TLS_KEY is");
            return None;
        }
    };
    let root_cert = extra_ca(env, extra_ca_file).map(|pem| [pem, system_roots()].concat());
    if client_tls.is_none() && root_cert.is_none() {
        return None;
    }
    let with_client = client_tls.is_some();
    let tls = TlsCertificates { client_tls, root_cert };
    if let Err(error) = redis::Client::build_with_tls(url, tls.clone()) {
        let (name, what) = match with_client {
            true => ("REDIS_TLS_CERT", "and REDIS_TLS_KEY must be PEM files with a certificate and its key"),
            false => ("EXTRA_CA_FILE", "must be a PEM file with certificates"),
        };
        env.mistake(name, &format!("{what} ({error})"));
    }
    Some(tls)
}

fn read(env: &mut Env<'_>, name: &str, path: &str) -> Option<Vec<u8>> {
    fs::read(path)
        .inspect_err(|error| env.mistake(name, &format!("must be a readable file: {path}: {error}")))
        .ok()
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(|error| error.to_string())
}

/// The roots that the system trusts, without those that rustls cannot use: the redis crate accepts all or none.
fn system_roots() -> Vec<u8> {
    use base64::Engine;
    let mut pem = String::new();
    for certificate in rustls_native_certs::load_native_certs().certs {
        if RootCertStore::empty().add(certificate.clone()).is_ok() {
            let text = base64::engine::general_purpose::STANDARD.encode(&certificate);
            pem += &format!("\n-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n");
        }
    }
    pem.into_bytes()
}
