//! `tandem import`: decks and subscribers from CSV files, through a running broker's API.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;

use anyhow::{Context, bail};
use indicatif::ProgressBar;

#[derive(clap::Args)]
pub struct ImportArguments {
    /// deck, wholesale, price-list or subscribers.
    what: String,
    /// The CSV file. Subscribers: name,email,reference,msisdn,imsi.
    file: PathBuf,
    /// Address of the running broker's API.
    #[arg(long, default_value = "127.0.0.1:8080")]
    server: String,
    /// An API key.
    #[arg(long)]
    key: String,
    /// Id of the VNO or carrier.
    #[arg(long)]
    party: Option<String>,
    /// Id of the price list.
    #[arg(long, default_value = "imported")]
    list: String,
    /// ISO 4217, for price lists.
    #[arg(long, default_value = "EUR")]
    currency: String,
}

pub fn run(arguments: &ImportArguments) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(&arguments.file)
        .with_context(|| format!("{}", arguments.file.display()))?;
    let party =
        || arguments.party.as_deref().context("--party is needed: the id of the VNO or carrier");
    let (list, currency) = (&arguments.list, &arguments.currency);
    let path = match arguments.what.as_str() {
        "deck" => format!("/v1/carriers/{}/decks/{list}?currency={currency}", party()?),
        "wholesale" => format!("/v1/wholesale-lists/{list}?currency={currency}"),
        "price-list" => format!("/v1/vnos/{}/price-lists/{list}?currency={currency}", party()?),
        "subscribers" => return subscribers(arguments, party()?, &text),
        other => bail!("{other}: expected deck, wholesale, price-list or subscribers"),
    };
    let bar = ProgressBar::new_spinner().with_message("uploading and compiling");
    bar.enable_steady_tick(std::time::Duration::from_millis(100));
    let answer = call(&arguments.server, &arguments.key, "PUT", &path, "text/csv", &text);
    bar.finish_and_clear();
    println!("{}", answer?);
    Ok(())
}

fn subscribers(arguments: &ImportArguments, vno: &str, text: &str) -> anyhow::Result<()> {
    let mut lines = text.lines();
    let header: Vec<&str> = lines.next().unwrap_or_default().split(',').map(str::trim).collect();
    let rows: Vec<&str> = lines.filter(|line| !line.trim().is_empty()).collect();
    let bar = ProgressBar::new(rows.len() as u64);
    for (index, row) in rows.iter().enumerate() {
        let line = index + 2;
        let cells: Vec<&str> = row.split(',').map(str::trim).collect();
        if cells.len() != header.len() {
            bail!("line {line}: expected {} cells, found {}", header.len(), cells.len());
        }
        let cell = |name: &str| {
            let position = header.iter().position(|column| *column == name)?;
            cells.get(position).copied().filter(|cell| !cell.is_empty())
        };
        let identities: Vec<serde_json::Value> = ["msisdn", "imsi"]
            .into_iter()
            .filter_map(|kind| Some(serde_json::json!({"type": kind, "value": cell(kind)?})))
            .collect();
        let body = serde_json::json!({
            "name": cell("name"), "email": cell("email"), "reference": cell("reference"),
            "lines": if identities.is_empty() { vec![] } else { vec![serde_json::json!({"identities": identities})] },
        });
        call(
            &arguments.server,
            &arguments.key,
            "POST",
            &format!("/v1/vnos/{vno}/subscribers"),
            "application/json",
            &body.to_string(),
        )
        .with_context(|| format!("line {line}"))?;
        bar.inc(1);
    }
    bar.finish();
    println!("{} subscribers imported", rows.len());
    Ok(())
}

/// One request on one connection; the body of a successful answer.
pub fn call(
    server: &str,
    key: &str,
    method: &str,
    path: &str,
    content_type: &str,
    body: &str,
) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(server).with_context(|| server.to_owned())?;
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nHost: {server}\r\nAuthorization: Bearer {key}\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let (head, body) = answer.split_once("\r\n\r\n").context("the answer cannot be read")?;
    let status = head.split(' ').nth(1).unwrap_or_default();
    if status.starts_with('2') { Ok(body.into()) } else { bail!("{status}: {body}") }
}
