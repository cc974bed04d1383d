//! Where collateral is sold: pools that are looked for, and an aggregator.

use clap::Args;
use flash_liquidator_client::swap::jupiter::Allowed;
use solana_address::Address;

use crate::{
    feeds::jupiter::{Jupiter, KEY_VARIABLE, Settings},
    route::discovery::Seeking,
};

/// Tokens that pools are looked for by way of unless told otherwise: SOL and USDC.
pub const VIA: [&str; 2] =
    ["So11111111111111111111111111111111111111112", "EPjFWdd5AufqSSqeM2qN1xzybapC8G4wEGGkZwyTDt1v"];
/// Pools of a pair that are kept unless told otherwise.
pub const PER_PAIR: usize = 4;

#[derive(Clone, Debug, Args)]
pub struct DiscoverArgs {
    /// Look for pools of the obligation's tokens, and sell in those that pay most: asks the
    /// node for each venue's pools of each pair, twelve calls of getProgramAccounts, and
    /// for pairs by way of the tokens of --via.
    #[arg(long)]
    pub discover: bool,
    /// With --discover: a mint that may stand between collateral and debt; may be given
    /// several times; SOL and USDC unless given.
    #[arg(long, value_name = "MINT", requires = "discover")]
    pub via: Vec<Address>,
}

impl DiscoverArgs {
    /// How pools are looked for, if they are.
    pub fn seeking(&self) -> Option<Seeking> {
        let via = if self.via.is_empty() { usual_via() } else { self.via.clone() };
        self.discover.then_some(Seeking { per_pair: PER_PAIR, via })
    }
}

/// [`VIA`], as addresses.
pub fn usual_via() -> Vec<Address> {
    VIA.iter().filter_map(|mint| mint.parse().ok()).collect()
}

#[derive(Clone, Debug, Default, Args)]
pub struct AggregatorArgs {
    /// Also ask this Jupiter (GET /swap/v2/build), such as <https://api.jup.ag> or one's own,
    /// and sell by its route where that pays more than pools, or nothing else sells. A key
    /// for it is read from KEEPER_JUPITER_KEY.
    #[arg(long, value_name = "URL")]
    pub jupiter_url: Option<String>,
    /// Platform fee that its routes may take, bps.
    #[arg(long, value_name = "BPS", default_value_t = 0, requires = "jupiter_url")]
    pub jupiter_platform_fee_bps: u16,
    /// Share of what its routes bring beyond the quote that they may keep, bps.
    #[arg(long, value_name = "BPS", default_value_t = 0, requires = "jupiter_url")]
    pub jupiter_positive_slippage_bps: u16,
}

impl AggregatorArgs {
    /// Who is asked, if anybody is.
    ///
    /// # Errors
    /// The URL is none, or the key cannot be sent.
    pub fn jupiter(&self) -> anyhow::Result<Option<Jupiter>> {
        let Some(url) = &self.jupiter_url else { return Ok(None) };
        if !["http://", "https://"].iter().any(|scheme| url.starts_with(scheme)) {
            anyhow::bail!("--jupiter-url has to begin with http:// or https://");
        }
        let allowed = Allowed {
            platform_fee_bps: self.jupiter_platform_fee_bps,
            positive_slippage_bps: self.jupiter_positive_slippage_bps,
        };
        let key = std::env::var(KEY_VARIABLE).ok();
        Jupiter::new(&Settings { url: url.clone(), key, allowed }).map(Some)
    }
}
