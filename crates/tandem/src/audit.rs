//! `tandem audit`: of a stopped broker's directory. A running one answers `GET /v1/audit`.

use std::path::Path;

use anyhow::Context;

pub fn run(data: &Path) -> anyhow::Result<bool> {
    if !data.exists() {
        anyhow::bail!("{} does not exist: name the data directory with --data", data.display());
    }
    let report = tandem_platform::audit_stopped(data).with_context(|| {
        format!("{}: a running broker is audited by GET /v1/audit", data.display())
    })?;
    print!("{report}");
    Ok(report.is_clean())
}
