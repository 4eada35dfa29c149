//! The configuration file: every key has a safe default, an unknown key is an error.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context;
use serde::Deserialize;
use stir_protocol::{CertificateUrl, Signer, TrustAnchors, Verifier};
use tandem_carrier_interface::circuit_switch::sip::Vouchers;
use tandem_content_interface::ContentOptions;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Configuration {
    /// Holds the journal and the books.
    pub data: PathBuf,
    pub http: HttpConfiguration,
    pub diameter: DiameterConfiguration,
    pub sip: SipConfiguration,
    pub content: ContentConfiguration,
    pub memory: MemoryConfiguration,
    /// error, warn, info, debug or trace.
    pub log_level: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MemoryConfiguration {
    /// MiB touched after the start, so that growth into them costs no time later. 0: none.
    pub reserve_mib: usize,
}

impl Default for MemoryConfiguration {
    fn default() -> MemoryConfiguration {
        MemoryConfiguration { reserve_mib: 256 }
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HttpConfiguration {
    pub listen: SocketAddr,
    /// The same resources over TLS.
    pub tls: Option<TlsConfiguration>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ContentConfiguration {
    /// The base URL that content providers' clients use, our name in their tokens; the listening address when absent.
    pub issuer: Option<String>,
    /// Clients' sinks may be on private addresses.
    pub private_sinks: bool,
    /// PEM file of authorities of sinks and webhooks, beside the public ones.
    pub authorities: Option<PathBuf>,
}

impl ContentConfiguration {
    pub fn options(&self, listening: &str) -> anyhow::Result<ContentOptions> {
        Ok(ContentOptions {
            issuer: self.issuer.clone().unwrap_or_else(|| listening.to_owned()),
            private_sinks: self.private_sinks,
            authorities: self
                .authorities
                .as_ref()
                .map(certificates)
                .transpose()?
                .unwrap_or_default(),
        })
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DiameterConfiguration {
    pub listen: SocketAddr,
    /// Our Origin-Host.
    pub host: String,
    /// Our Origin-Realm.
    pub realm: String,
    /// Connections at once, at most.
    pub connections_max: usize,
    /// Requests of one connection under way at once; more are answered 3004.
    pub requests_max: usize,
    /// Octets of one message, at most.
    pub message_length_max: usize,
    pub tls: Option<TlsConfiguration>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SipConfiguration {
    /// UDP and TCP.
    pub listen: SocketAddr,
    /// What peers are told to send to, when that is not the listening address.
    pub advertised: Option<SocketAddr>,
    /// Realm of the subscribers' phones, host part of numbers.
    pub domain: String,
    pub tls: Option<TlsConfiguration>,
    /// PEM file of authorities of switches that are reached over TLS, beside the public ones.
    pub authorities: Option<PathBuf>,
    pub stir: Option<StirConfiguration>,
}

/// Who vouches for callers' numbers (RFC 8224).
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StirConfiguration {
    /// PEM file of the private key (P-256, PKCS #8) that our calls are signed with, and where its certificate is.
    pub key: Option<PathBuf>,
    pub certificate_url: Option<String>,
    /// PEM file of the authorities by whose certificates calls of others may be signed.
    pub anchors: Option<PathBuf>,
    /// An HTTP proxy that fetches their certificates for us.
    pub proxy: Option<SocketAddr>,
}

impl StirConfiguration {
    pub fn vouchers(&self) -> anyhow::Result<Vouchers> {
        let signer = match (&self.key, &self.certificate_url) {
            (Some(key), Some(url)) => {
                let url = CertificateUrl::parse(url)
                    .with_context(|| format!("sip.stir.certificate_url: {url} is not usable"))?;
                let pem = std::fs::read(key)
                    .with_context(|| format!("sip.stir.key: {}", key.display()))?;
                Some(Arc::new(Signer::from_pem(&pem, url).context("sip.stir.key")?))
            }
            (None, None) => None,
            _ => anyhow::bail!("sip.stir: key and certificate_url belong together"),
        };
        let verifier = match &self.anchors {
            Some(anchors) => {
                let pem = std::fs::read(anchors)
                    .with_context(|| format!("sip.stir.anchors: {}", anchors.display()))?;
                let anchors = TrustAnchors::from_pem(&pem).context("sip.stir.anchors")?;
                Some(Arc::new(Verifier::new(anchors)))
            }
            None => None,
        };
        Ok(Vouchers { signer, verifier })
    }
}

impl SipConfiguration {
    /// For connections to switches that want TLS.
    pub fn client(&self) -> anyhow::Result<Arc<ClientConfig>> {
        let mut roots = RootCertStore::empty();
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        for authority in
            self.authorities.as_ref().map(certificates).transpose()?.unwrap_or_default()
        {
            roots.add(authority)?;
        }
        let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        Ok(Arc::new(config))
    }
}

impl Default for SipConfiguration {
    fn default() -> SipConfiguration {
        SipConfiguration {
            listen: SocketAddr::from(([127, 0, 0, 1], 5060)),
            advertised: None,
            domain: "sip.tandem.example".into(),
            tls: None,
            authorities: None,
            stir: None,
        }
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TlsConfiguration {
    pub listen: SocketAddr,
    /// PEM files.
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl Default for Configuration {
    fn default() -> Configuration {
        Configuration {
            data: "tandem-data".into(),
            http: HttpConfiguration::default(),
            diameter: DiameterConfiguration::default(),
            sip: SipConfiguration::default(),
            content: ContentConfiguration::default(),
            memory: MemoryConfiguration::default(),
            log_level: "info".into(),
        }
    }
}

impl Default for HttpConfiguration {
    fn default() -> HttpConfiguration {
        HttpConfiguration { listen: SocketAddr::from(([127, 0, 0, 1], 8080)), tls: None }
    }
}

impl Default for DiameterConfiguration {
    fn default() -> DiameterConfiguration {
        DiameterConfiguration {
            listen: SocketAddr::from(([127, 0, 0, 1], 3868)),
            host: "ocs.tandem.example".into(),
            realm: "tandem.example".into(),
            connections_max: 1024,
            requests_max: 16_384,
            message_length_max: 64 << 10,
            tls: None,
        }
    }
}

impl Configuration {
    pub fn read(path: Option<&Path>) -> anyhow::Result<Configuration> {
        let Some(path) = path else {
            return Ok(Configuration::default());
        };
        let text = std::fs::read_to_string(path).with_context(|| format!("{}", path.display()))?;
        toml::from_str(&text).with_context(|| format!("{}", path.display()))
    }
}

fn certificates(path: &PathBuf) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .with_context(|| format!("{}", path.display()))
}

impl TlsConfiguration {
    pub fn server(&self) -> anyhow::Result<Arc<ServerConfig>> {
        let certificates = certificates(&self.certificate)?;
        let key = PrivateKeyDer::from_pem_file(&self.key)
            .with_context(|| format!("{}", self.key.display()))?;
        let config =
            ServerConfig::builder().with_no_client_auth().with_single_cert(certificates, key)?;
        Ok(Arc::new(config))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_key_is_an_error_and_an_empty_file_is_the_default() {
        assert!(toml::from_str::<Configuration>("listen = 1").is_err());
        let empty: Configuration = toml::from_str("").expect("defaults");
        assert_eq!(empty.diameter.listen.port(), 3868);
    }
}
