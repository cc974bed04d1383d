//! More reserves than a snapshot brings.

use flash_liquidator_client::klend::{FarmMode, ReserveAddresses};
use klend_model::{accounts::account_data, constants::KLEND_PROGRAM_ID, keys::to_v2};
use solana_address::Address;

use crate::{
    error::ForkError, farm, names::named_address, rebuild, snapshot::Snapshot, tokens, world::World,
};

/// Bytes of a reserve's name in its configuration.
const NAME_LEN: usize = 32;

impl World {
    /// Adds a reserve to the market of `template` that is like it, but for a mint
    /// of its own, vaults of its own, and the farms asked for. It reads the
    /// template's price.
    ///
    /// # Errors
    /// [`ForkError`] when the template is not there, or `symbol` does not fit a
    /// reserve's name.
    pub fn add_reserve_like(
        &mut self,
        template: &Address,
        symbol: &str,
        farms: &[FarmMode],
    ) -> Result<Address, ForkError> {
        let named = |part: &str| named_address(&format!("{symbol} {part}"));
        let key = named("reserve");
        let mut name = [0; NAME_LEN];
        name.get_mut(..symbol.len())
            .ok_or_else(|| ForkError::Unexpected {
                what: "reserve",
                key,
                reason: format!("the name {symbol:?} has more than {NAME_LEN} bytes"),
            })?
            .copy_from_slice(symbol.as_bytes());

        let mut reserve = self.reserve(template)?;
        reserve.liquidity.mint_pubkey = to_v2(&named("mint"));
        reserve.liquidity.supply_vault = to_v2(&named("liquidity supply"));
        reserve.liquidity.fee_vault = to_v2(&named("fee vault"));
        reserve.collateral.mint_pubkey = to_v2(&named("ctoken mint"));
        reserve.collateral.supply_vault = to_v2(&named("collateral supply"));
        reserve.config.token_info.name = name;
        let farm = |mode, part| {
            if farms.contains(&mode) { named(part) } else { Address::default() }
        };
        reserve.farm_collateral = to_v2(&farm(FarmMode::Collateral, "collateral farm"));
        reserve.farm_debt = to_v2(&farm(FarmMode::Debt, "debt farm"));

        let addresses = ReserveAddresses::read(&key, &reserve);
        let mut snapshot = Snapshot::default();
        let data = account_data(&reserve);
        snapshot.accounts.insert(key, tokens::account(KLEND_PROGRAM_ID, data));
        for farm in [addresses.collateral_farm, addresses.debt_farm].into_iter().flatten() {
            let account = farm::delegated(&addresses.lending_market_authority, 0, 0);
            snapshot.accounts.insert(farm, account);
        }
        rebuild::complete(&mut snapshot, &key, &reserve)?;
        for (key, account) in snapshot.accounts {
            self.set_account(&key, account)?;
        }
        Ok(key)
    }
}
