//! Services that tell what tips are at.

use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;
use solana_address::Address;

use super::source::{Rpc, redact};

/// Longest a service may take to answer.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Lamports in a SOL.
const LAMPORTS: f64 = 1e9;

/// Percentiles that a tip floor service tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Percentile {
    P25,
    P50,
    P75,
    P95,
    P99,
}

impl Percentile {
    /// From a setting's number.
    pub fn from_number(number: u64) -> Option<Self> {
        match number {
            25 => Some(Self::P25),
            50 => Some(Self::P50),
            75 => Some(Self::P75),
            95 => Some(Self::P95),
            99 => Some(Self::P99),
            _ => None,
        }
    }
}

/// One answer of Jito's tip floor service, in SOL.
#[derive(Deserialize)]
struct TipFloor {
    landed_tips_25th_percentile: f64,
    landed_tips_50th_percentile: f64,
    landed_tips_75th_percentile: f64,
    landed_tips_95th_percentile: f64,
    landed_tips_99th_percentile: f64,
}

/// Where tips are asked about.
pub struct TipService {
    /// A tip floor service, and which of its percentiles counts.
    floor: Option<(String, Percentile, reqwest::blocking::Client)>,
    /// A block engine that tells who takes tips.
    engine: Option<Rpc>,
}

impl TipService {
    /// Asks `floor` what tips are at, and `engine` for the accounts that take them.
    ///
    /// # Errors
    /// The client for HTTP cannot be made.
    pub fn new(floor: Option<(&str, Percentile)>, engine: Option<&str>) -> Result<Self> {
        let floor = floor
            .map(|(url, percentile)| {
                let client = reqwest::blocking::Client::builder().timeout(TIMEOUT).build()?;
                anyhow::Ok((url.to_owned(), percentile, client))
            })
            .transpose()?;
        Ok(Self { floor, engine: engine.map(|url| Rpc::new(url, TIMEOUT)) })
    }

    /// Asks both, and puts what they tell where it belongs.
    pub fn ask(
        &self,
        tip: &mut Option<u64>,
        accounts: &mut Vec<Address>,
        note: &mut dyn FnMut(anyhow::Error),
    ) {
        if let Some((url, percentile, client)) = &self.floor {
            match ask_floor(client, url, *percentile) {
                Ok(lamports) => *tip = Some(lamports),
                Err(failure) => note(failure),
            }
        }
        if let Some(engine) = &self.engine {
            match engine.tip_accounts() {
                Ok(told) => *accounts = told,
                Err(failure) => note(failure),
            }
        }
    }
}

fn ask_floor(client: &reqwest::blocking::Client, url: &str, percentile: Percentile) -> Result<u64> {
    let told = |error: reqwest::Error| {
        anyhow::anyhow!("tip floor: {}", redact(&error.without_url().to_string()))
    };
    let answer = client.get(url).send().and_then(|answer| answer.error_for_status());
    let text = answer.and_then(|answer| answer.text()).map_err(told)?;
    read_floor(&text, percentile)
}

/// Lamports from the service's answer: a list with one object, or the object.
fn read_floor(text: &str, percentile: Percentile) -> Result<u64> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Answer {
        List(Vec<TipFloor>),
        One(TipFloor),
    }
    let answer = serde_json::from_str(text).context("tip floor: the answer has another form")?;
    let floor = match answer {
        Answer::List(list) => list.into_iter().next().context("tip floor: the list is empty")?,
        Answer::One(floor) => floor,
    };
    let sol = match percentile {
        Percentile::P25 => floor.landed_tips_25th_percentile,
        Percentile::P50 => floor.landed_tips_50th_percentile,
        Percentile::P75 => floor.landed_tips_75th_percentile,
        Percentile::P95 => floor.landed_tips_95th_percentile,
        Percentile::P99 => floor.landed_tips_99th_percentile,
    };
    let lamports = sol * LAMPORTS;
    if !(0.0..1e15).contains(&lamports) {
        bail!("tip floor: {sol} SOL is no tip");
    }
    Ok(lamports.ceil() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(median: &str) -> String {
        format!(
            "[{{\"time\":\"2026-11-26T00:00:00Z\",\"landed_tips_25th_percentile\":1e-6,\
             \"landed_tips_50th_percentile\":{median},\"landed_tips_75th_percentile\":1e-5,\
             \"landed_tips_95th_percentile\":0.001,\"landed_tips_99th_percentile\":0.01,\
             \"ema_landed_tips_50th_percentile\":9.9e-6}}]"
        )
    }

    #[test]
    fn a_percentile_is_read_in_lamports() {
        let text = answer("0.0000050001");
        assert_eq!(read_floor(&text, Percentile::P50).unwrap(), 5_001);
        assert_eq!(read_floor(&text, Percentile::P99).unwrap(), 10_000_000);
        let one = text.trim_matches(['[', ']']);
        assert_eq!(read_floor(one, Percentile::P25).unwrap(), 1_000);
    }

    #[test]
    fn what_is_no_tip_is_refused() {
        for text in ["[]", "{}", "", &answer("-1.0"), &answer("1e9"), &answer("\"1\"")] {
            assert!(read_floor(text, Percentile::P50).is_err(), "{text}");
        }
    }
}
