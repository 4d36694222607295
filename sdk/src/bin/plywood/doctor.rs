//! `doctor`: what the host offers.

use std::process::ExitCode;

use serde_json::json;

use crate::Session;
use crate::failure::Outcome;

pub fn examine(session: &Session) -> Outcome<ExitCode> {
    let report = match session.path() {
        Ok(root) => plywood::doctor::doctor_with(root, session.options()),
        Err(_) => plywood::doctor(),
    };
    if session.output.is_json() {
        let findings = report.findings().iter().map(|finding| {
            json!({
                "Subject": finding.subject(),
                "State": finding.state().to_string(),
                "Seen": finding.seen(),
                "Cause": finding.cause(),
                "Remedy": finding.remedy(),
            })
        });
        let findings: Vec<_> = findings.collect();
        session.output.json(&json!({ "CanRun": report.can_run(), "Findings": findings }))?;
    } else {
        session.output.line(report.to_string().trim_end())?;
    }
    Ok(if report.can_run() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
