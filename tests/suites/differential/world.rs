//! The accounts of one case.

use klend_interface::state::{BigFractionBytes, LendingMarket, Obligation, Reserve};
use klend_model::{
    accounts,
    constants::{KLEND_PROGRAM_ID, SCOPE_PROGRAM_ID},
    keys,
    price::{OracleAccount, Oracles},
    time::Clock,
    version::KlendVersion,
};
use solana_address::Address;
use solana_signer::Signer;

use crate::machine::{
    Machine, Of, TOKEN_PROGRAM, market_key, obligation_key, of, reserve_key, scope_key,
};

/// One, in klend's fixed point.
pub const ONE: u128 = 1 << 60;
/// The moment of every case.
pub const NOW: Clock = Clock { slot: 300_000_000, unix_timestamp: 1_760_000_000 };
/// Reserves in a market.
pub const RESERVES: usize = 13;

/// The accounts of one case before anything happened.
pub struct World {
    pub market: Box<LendingMarket>,
    pub reserves: Vec<Box<Reserve>>,
    pub obligation: Box<Obligation>,
    /// Prices in the Scope account.
    pub scope: Vec<ScopeEntry>,
    /// Other oracles: key, owner, data.
    pub oracles: Vec<(Address, Address, Vec<u8>)>,
    /// What the Scope prices are about.
    pub prices: Vec<f64>,
}

/// One price of the Scope account.
#[derive(Debug, Clone, Copy)]
pub struct ScopeEntry {
    pub entry: usize,
    pub value: u64,
    pub exponent: u64,
    pub time: u64,
}

/// What the case asks klend for.
#[derive(Debug, Clone, Copy)]
pub struct Ask {
    pub repay: usize,
    pub withdraw: usize,
    pub amount: u64,
    pub min_received: u64,
    pub loan: Option<(usize, u64)>,
}

impl Oracles for World {
    fn account(&self, key: &Address) -> Option<OracleAccount<'_>> {
        self.oracles
            .iter()
            .find(|(at, _, _)| at == key)
            .map(|(_, owner, data)| OracleAccount { owner: *owner, data })
    }
}

fn index_of(key: &Address) -> usize {
    (0..RESERVES).find(|index| reserve_key(*index) == *key).expect("a reserve of this world")
}

impl World {
    /// Reserves of the deposits, in slot order.
    pub fn deposit_reserves(&self) -> impl Iterator<Item = usize> {
        self.obligation
            .deposits
            .iter()
            .filter_map(|deposit| keys::some(&deposit.deposit_reserve))
            .map(index_of)
    }

    /// Reserves of the debts, in slot order.
    pub fn borrow_reserves(&self) -> impl Iterator<Item = usize> {
        self.obligation
            .borrows
            .iter()
            .filter_map(|borrow| keys::some(&borrow.borrow_reserve))
            .map(index_of)
    }

    /// Every reserve of the obligation, once.
    pub fn used(&self) -> Vec<usize> {
        let mut used: Vec<_> = self.deposit_reserves().chain(self.borrow_reserves()).collect();
        used.sort_unstable();
        used.dedup();
        used
    }

    /// The oracle programs in use, for messages.
    pub fn oracle_kinds(&self) -> Vec<Address> {
        self.oracles.iter().map(|(_, owner, _)| *owner).collect()
    }

    /// Makes the stand-in behave as 1.26 when that is asked for: its switch lies in
    /// the last word of the market, where klend itself does not look.
    pub fn ask_stand_in_for(&mut self, version: KlendVersion) {
        if version == KlendVersion::V1_26 {
            let [.., switch] = &mut self.market.padding1;
            *switch = 126;
        }
    }

    /// Adds the Scope account to the oracles.
    pub fn publish_scope(&mut self) {
        self.oracles.push((scope_key(), SCOPE_PROGRAM_ID, scope_data(&self.scope)));
    }

    /// Writes every account into the machine.
    pub fn install(&self, machine: &mut Machine) {
        let authority = machine.authority;
        let keeper = machine.keeper.pubkey();
        machine.put(market_key(), KLEND_PROGRAM_ID, accounts::account_data(&*self.market));
        machine.put(obligation_key(), KLEND_PROGRAM_ID, accounts::account_data(&*self.obligation));
        for (key, owner, data) in &self.oracles {
            machine.put(*key, *owner, data.clone());
        }
        for index in self.used() {
            let reserve = &self.reserves[index];
            let mint = of(index, Of::Mint);
            let ctoken_mint = of(index, Of::CtokenMint);
            let decimals = reserve.liquidity.mint_decimals as u8;
            machine.put(reserve_key(index), KLEND_PROGRAM_ID, accounts::account_data(&**reserve));
            machine.put(mint, TOKEN_PROGRAM, mint_data(&authority, u64::MAX, decimals));
            let supply = reserve.collateral.mint_total_supply;
            machine.put(ctoken_mint, TOKEN_PROGRAM, mint_data(&authority, supply, 6));
            let liquidity = &reserve.liquidity;
            let vault = liquidity.total_available_amount + liquidity.rewards_amount_available;
            for (what, mint, owner, amount) in [
                (Of::Supply, mint, authority, vault),
                (Of::Fees, mint, authority, 0),
                (Of::CtokenSupply, ctoken_mint, authority, supply),
                (Of::KeeperTokens, mint, keeper, u64::MAX / 4),
                (Of::KeeperCtokens, ctoken_mint, keeper, 0),
            ] {
                machine.put(of(index, what), TOKEN_PROGRAM, token_data(&mint, &owner, amount));
            }
        }
    }
}

fn mint_data(authority: &Address, supply: u64, decimals: u8) -> Vec<u8> {
    let mut data = vec![0; 82];
    data[0] = 1;
    data[4..36].copy_from_slice(authority.as_ref());
    data[36..44].copy_from_slice(&supply.to_le_bytes());
    data[44] = decimals;
    data[45] = 1;
    data
}

fn token_data(mint: &Address, owner: &Address, amount: u64) -> Vec<u8> {
    let mut data = vec![0; 165];
    data[..32].copy_from_slice(mint.as_ref());
    data[32..64].copy_from_slice(owner.as_ref());
    data[64..72].copy_from_slice(&amount.to_le_bytes());
    data[108] = 1;
    data
}

/// A Scope account.
pub fn scope_data(entries: &[ScopeEntry]) -> Vec<u8> {
    let mut data = vec![0; 40 + 512 * 56];
    data[..8].copy_from_slice(&[89, 128, 118, 221, 6, 72, 180, 146]);
    for ScopeEntry { entry, value, exponent, time } in entries {
        let at = 40 + 56 * entry;
        for (offset, field) in [(0, value), (8, exponent), (16, &NOW.slot), (24, time)] {
            data[at + offset..at + offset + 8].copy_from_slice(&field.to_le_bytes());
        }
    }
    data
}

/// A Pyth `PriceUpdateV2`.
pub fn pyth_data(
    verification: u8,
    price: i64,
    confidence: u64,
    exponent: i32,
    time: i64,
    ema: i64,
    ema_confidence: u64,
) -> Vec<u8> {
    let mut data = vec![34, 241, 35, 99, 157, 126, 244, 205];
    data.extend_from_slice(&[7; 32]);
    // The partial verification carries the number of signatures.
    data.push(verification);
    if verification == 0 {
        data.push(5);
    }
    data.extend_from_slice(&[9; 32]);
    data.extend_from_slice(&price.to_le_bytes());
    data.extend_from_slice(&confidence.to_le_bytes());
    data.extend_from_slice(&exponent.to_le_bytes());
    data.extend_from_slice(&time.to_le_bytes());
    data.extend_from_slice(&(time - 1).to_le_bytes());
    data.extend_from_slice(&ema.to_le_bytes());
    data.extend_from_slice(&ema_confidence.to_le_bytes());
    data.extend_from_slice(&NOW.slot.to_le_bytes());
    data.resize(134, 0);
    data
}

/// A Switchboard On-Demand pull feed.
pub fn switchboard_data(value: i128, deviation: i128, slot: u64) -> Vec<u8> {
    let mut data = vec![0; 8 + 3200];
    data[..8].copy_from_slice(&[196, 27, 108, 196, 10, 215, 219, 40]);
    let at = 8 + 2256;
    data[at..at + 16].copy_from_slice(&value.to_le_bytes());
    data[at + 16..at + 32].copy_from_slice(&deviation.to_le_bytes());
    data[at + 104..at + 112].copy_from_slice(&slot.to_le_bytes());
    data
}

/// A cumulative rate as an account holds it.
pub fn bsf(bits: u128) -> BigFractionBytes {
    BigFractionBytes { value: [bits as u64, (bits >> 64) as u64, 0, 0], padding: [0; 2] }
}

/// The low half of a cumulative rate; the high one is never used here.
pub fn bits_of(limbs: &BigFractionBytes) -> u128 {
    u128::from(limbs.value[1]) << 64 | u128::from(limbs.value[0])
}
