use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde::de::DeserializeOwned;
use serde_json::json;

use super::print_json;
use crate::{
    format::{Section, bad, good},
    health::{Liveness, Readiness},
};

/// Longest a keeper may take to answer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// `keeper status`; fails when something is not well.
pub fn run(address: &str, json: bool) -> Result<()> {
    let liveness: Liveness = ask_running(address, "healthz")?;
    let readiness: Readiness = ask_running(address, "readyz")?;
    let is_well = liveness.alive && readiness.ready;
    if json {
        print_json(&json!({ "health": liveness, "readiness": readiness }))?;
    } else {
        print(address, &liveness, &readiness);
    }
    if !is_well {
        bail!("the keeper at {address} is not well");
    }
    Ok(())
}

fn print(address: &str, liveness: &Liveness, readiness: &Readiness) {
    let mark = |ok: bool, text: &str| {
        if ok { good(&format!("ok  {text}")) } else { bad(&format!("BAD {text}")) }
    };
    let mut section = Section::new(format!("Keeper at {address}"));
    let turned = format!("turned {:.1} s ago", liveness.turned_ms_ago as f64 / 1e3);
    section.row("loop", mark(liveness.alive, &turned));
    for checked in &readiness.checks {
        section.row(checked.check.clone(), mark(checked.ok, &checked.reason));
    }
    section.print();
}

/// What a running keeper answers, well or not.
pub fn ask_running<T: DeserializeOwned>(address: &str, what: &str) -> Result<T> {
    let client = reqwest::blocking::Client::builder().no_proxy().timeout(TIMEOUT).build()?;
    let url = format!("http://{address}/{what}");
    let shown = || format!("no keeper answers at {url}: is `metrics` set in its configuration?");
    let answer = client.get(&url).send().map_err(reqwest::Error::without_url);
    let answer = answer.with_context(shown)?.json().map_err(reqwest::Error::without_url);
    answer.with_context(|| format!("what answers at {url} is no keeper"))
}
