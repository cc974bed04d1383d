//! Pools of every venue, the accounts that their prices depend on, and what is computed
//! from them.

use std::collections::BTreeMap;

use liquidation_venues::{
    Account, Amount, Now, Side, Trade, meteora_dlmm, raydium_amm, raydium_clmm, raydium_cpmm, read,
    whirlpool,
};
use solana_address::Address;

const POOL: Address = Address::new_from_array([1; 32]);
const NOW: Now = Now { unix_timestamp: 1_800_000_000, slot: 450_000_000 };
/// Programs, as an input's first byte chooses them.
const PROGRAMS: [Address; 5] = [
    whirlpool::PROGRAM_ID,
    raydium_clmm::PROGRAM_ID,
    raydium_cpmm::PROGRAM_ID,
    meteora_dlmm::PROGRAM_ID,
    raydium_amm::PROGRAM_ID,
];
/// Accounts that a pool is given at most, and bytes of each.
const MOST_ACCOUNTS: usize = 12;
const LEN: usize = 16_384;

/// One byte that says whose pool, two for the length of its account, two for how many
/// bytes of the rest change that; what remains changes the accounts that it asks for.
pub fn run(bytes: &[u8]) {
    let Some((&[kind, low, high, split_low, split_high], rest)) = bytes.split_first_chunk() else {
        return;
    };
    let owner = PROGRAMS[usize::from(kind) % PROGRAMS.len()];
    let split = usize::from(u16::from_le_bytes([split_low, split_high])).min(rest.len());
    let (of_pool, of_others) = rest.split_at(split);
    let mut data = vec![0; usize::from(u16::from_le_bytes([low, high])) % LEN];
    crate::patches::apply(&mut data, of_pool);
    let Ok(pool) = read(&POOL, Account { owner: &owner, data: &data }) else { return };

    let mut known: BTreeMap<Address, Option<(Address, Vec<u8>)>> = BTreeMap::new();
    loop {
        let wanted = pool.accounts(&known);
        let Some(next) = wanted.iter().find(|key| !known.contains_key(*key)) else { break };
        // Some are not there.
        let account = (known.len() < MOST_ACCOUNTS && known.len() % 4 != 3).then(|| {
            let mut data = vec![0; LEN];
            crate::patches::apply(&mut data, of_others);
            (owner, data)
        });
        known.insert(*next, account);
        if known.len() > 4 * MOST_ACCOUNTS {
            return;
        }
    }
    let mints = pool.mints();
    for (sold, bought) in [(mints[0], mints[1]), (mints[1], mints[0])] {
        let Ok(curve) = pool.curve(&sold, &known, &NOW) else { continue };
        for amount in [0, 1, 1_000_000, u64::MAX / 2, u64::MAX] {
            let _ = curve.quote(amount);
        }
        let side = |mint, number| Side {
            account: Address::new_from_array([number; 32]),
            mint,
            token_program: Address::new_from_array([4; 32]),
        };
        let authority = Address::new_from_array([5; 32]);
        let (input, output) = (side(sold, 2), side(bought, 3));
        let _ = curve.leg(&Trade {
            authority,
            input,
            output,
            amount: Amount::All(1_000_000),
            min_out: 1,
            token: 0,
        });
    }
}
