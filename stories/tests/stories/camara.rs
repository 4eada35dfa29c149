//! The CAMARA files judge us: schemathesis makes requests from them and checks every answer against them.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::content::{Market, PAYMENTS, id_of, rules};
use crate::peers::{needs, on_path};

/// The number of the files' examples: some requests shall succeed.
const EXAMPLE_PHONE: &str = "+34671999000";

fn schemathesis() -> Option<PathBuf> {
    let own = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.venv/bin/schemathesis");
    needs(
        [Some(own).filter(|own| own.exists()), on_path("schemathesis")]
            .into_iter()
            .flatten()
            .next(),
        "schemathesis",
    )
}

/// The files stand beside the checkout, or where `TANDEM_SPECS` says. They are not ours to copy.
fn file(name: &str) -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/specs");
    let directory = std::env::var_os("TANDEM_SPECS").map_or(beside, PathBuf::from);
    let file = directory.join("camara").join(name);
    needs(Some(file).filter(|file| file.exists()), "the CAMARA files (TANDEM_SPECS)")
}

async fn judge(name: &str, base: &str, market: &Market) {
    let (Some(program), Some(file)) = (schemathesis(), file(name)) else { return };
    let remembered = tempfile::tempdir().expect("a directory");
    let output = Command::new(program)
        .current_dir(&remembered)
        .arg("run")
        .arg(file)
        .args(["--url", &format!("http://{}{base}", market.broker.http)])
        .args(["--header", &format!("Authorization: Bearer {}", market.token)])
        .args(["--checks", "not_a_server_error,status_code_conformance,content_type_conformance"])
        .args(["--checks", "response_headers_conformance,response_schema_conformance"])
        .args(["--phases", "examples,coverage,fuzzing", "--max-examples", "25"])
        .args(["--seed", "1", "--warnings", "off", "--no-color"])
        .env("PYTHONIOENCODING", "utf-8")
        .output()
        .expect("schemathesis runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
}

async fn market() -> Market {
    let market = Market::open_with("500.00", rules(), false).await;
    market.broker.subscriber("aria", EXAMPLE_PHONE, "100000.00");
    market
}

#[tokio::test(flavor = "multi_thread")]
async fn payments_are_as_the_file_says() {
    let market = market().await;
    judge("carrier-billing.yaml", "/carrier-billing/v0.5", &market).await;
    let listed = market.get(PAYMENTS).await;
    assert_eq!(listed.status, 200);
    market.audit();
}

#[tokio::test(flavor = "multi_thread")]
async fn refunds_are_as_the_file_says() {
    let market = market().await;
    let id = id_of(&market.pay("10.00", "film").await);
    let path = format!("/carrier-billing-refund/v0.3/payments/{id}/refunds");
    let total = json!({ "type": "total", "amountTransaction": { "referenceCode": "r", "refundAmount": {} } });
    assert_eq!(market.post(&path, &total).await.status, 201);
    judge("carrier-billing-refund.yaml", "/carrier-billing-refund/v0.3", &market).await;
    market.audit();
}

#[tokio::test(flavor = "multi_thread")]
async fn facts_of_the_network_are_as_the_files_say() {
    let market = market().await;
    judge("sim-swap.yaml", "/sim-swap/v2", &market).await;
    judge("device-data-volume.yaml", "/device-data-volume/v0.1", &market).await;
    judge("device-roaming-status.yaml", "/device-roaming-status/v1", &market).await;
    assert_eq!(market.broker.ask("GET", "/v1/audit", Value::Null)["findings_total"], 0);
}
