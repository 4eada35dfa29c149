//! `tandem serve`: the product.

use std::path::Path;

use anyhow::Context;
use tandem_carrier_interface::circuit_switch::sip::{self, SipOptions};
use tandem_carrier_interface::packet_switch::diameter::{self, DiameterOptions};
use tandem_domain::access::Role;
use tandem_domain::command::{Administer, Administration, Command};
use tandem_http_api::{HttpServer, hash_key, new_key};
use tandem_platform::{Options, Platform};

use crate::configuration::Configuration;

pub fn run(path: Option<&Path>) -> anyhow::Result<bool> {
    let configuration = Configuration::read(path)?;
    let level = configuration
        .log_level
        .parse()
        .context("log_level: expected error, warn, info, debug or trace")?;
    crate::log_to_stderr(level);
    let platform = tandem_platform::start(Options::new(&configuration.data))
        .with_context(|| format!("the data in {} cannot be used", configuration.data.display()))?;
    let result = crate::runtime()?.block_on(serve(&configuration, platform.clone()));
    platform.stop();
    result.map(|()| true)
}

async fn serve(configuration: &Configuration, platform: Platform) -> anyhow::Result<()> {
    if platform.registry().api_keys.is_empty() {
        let key = first_key(&platform).await?;
        println!("first admin key (shown once): {key}");
    }
    let mut options = DiameterOptions::new(configuration.diameter.listen);
    options.host.clone_from(&configuration.diameter.host);
    options.realm.clone_from(&configuration.diameter.realm);
    options.connections_max = configuration.diameter.connections_max;
    options.requests_max = configuration.diameter.requests_max;
    options.message_length_max = configuration.diameter.message_length_max;
    if let Some(tls) = &configuration.diameter.tls {
        options.tls = Some((tls.listen, tls.server()?));
    }
    let diameter = diameter::serve(platform.clone(), options).await.context("Diameter")?;
    let mut calls = SipOptions::new(configuration.sip.listen);
    calls.domain.clone_from(&configuration.sip.domain);
    calls.advertised = configuration.sip.advertised;
    if let Some(tls) = &configuration.sip.tls {
        calls.tls = Some((tls.listen, tls.server()?));
    }
    calls.tls_client = Some(configuration.sip.client()?);
    if let Some(stir) = &configuration.sip.stir {
        calls.vouchers = stir.vouchers()?;
        calls.certificate_proxy = stir.proxy;
    }
    let sip = sip::serve(platform.clone(), calls).await.context("SIP")?;
    let http = Http::start(configuration, platform).await?;
    println!("http      http://{}  (API reader: /docs)", http.plain.address);
    if let Some(tls) = &http.tls {
        println!("https     https://{}", tls.address);
    }
    println!("diameter  {}", diameter.address);
    if let Some(address) = diameter.tls_address {
        println!("diameter  {address} (TLS)");
    }
    println!("sip       {}  (UDP and TCP)", sip.address);
    if let Some(address) = sip.tls_address {
        println!("sip       {address} (TLS)");
    }
    println!("ready");
    let reserve = configuration.memory.reserve_mib;
    std::thread::Builder::new()
        .name("reserve".into())
        .spawn(move || crate::memory::reserve(reserve))
        .context("a thread for the memory reserve")?;
    until_told().await?;
    println!("stopping");
    diameter.stop().await;
    sip.stop().await;
    http.stop().await;
    Ok(())
}

/// All HTTP interfaces, in clear and over TLS.
struct Http {
    plain: HttpServer,
    tls: Option<HttpServer>,
}

impl Http {
    async fn start(configuration: &Configuration, platform: Platform) -> anyhow::Result<Http> {
        let http = &configuration.http;
        let listen = http.tls.as_ref().map_or_else(
            || format!("http://{}", http.listen),
            |tls| format!("https://{}", tls.listen),
        );
        let content = configuration.content.options(&listen)?;
        let content = tandem_content_interface::router(platform.clone(), content).await?;
        let router = tandem_vno_interface::router(platform).merge(content);
        let plain = tandem_http_api::serve(http.listen, router.clone()).await.context("HTTP")?;
        let tls = match &http.tls {
            None => None,
            Some(tls) => {
                let server = tandem_http_api::serve_tls(tls.listen, router, tls.server()?);
                Some(server.await.context("HTTPS")?)
            }
        };
        Ok(Http { plain, tls })
    }

    async fn stop(self) {
        self.plain.stop().await;
        if let Some(tls) = self.tls {
            tls.stop().await;
        }
    }
}

/// Ctrl-C or SIGTERM.
async fn until_told() -> std::io::Result<()> {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        interrupted = tokio::signal::ctrl_c() => interrupted,
        _ = terminate.recv() => Ok(()),
    }
}

/// Issues a key of the broker's own.
pub async fn first_key(platform: &Platform) -> anyhow::Result<String> {
    let key = new_key();
    let order = Administer::IssueApiKey {
        hash: hash_key(&key),
        role: Role::Broker,
        name: "first admin key".into(),
        read_only: false,
    };
    let administration = Administration { role: Role::Broker, idempotency: None, order };
    platform.submit(Command::Administer(Box::new(administration))).await?;
    Ok(key)
}
