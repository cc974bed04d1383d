//! The client's readers of pools.

use flash_liquidator_client::swap::{
    Side, Trade,
    raydium_clmm::{self, BitmapExtension, ClmmPool},
    raydium_cpmm::{self, CpmmPool},
    whirlpool::{self, Whirlpool},
};
use solana_address::Address;

const POOL: Address = Address::new_from_array([1; 32]);
const TRADE: Trade = {
    let side = Side {
        account: Address::new_from_array([2; 32]),
        mint: Address::new_from_array([3; 32]),
        token_program: Address::new_from_array([4; 32]),
    };
    Trade {
        authority: Address::new_from_array([5; 32]),
        input: side,
        output: Side { mint: Address::new_from_array([6; 32]), ..side },
        min_out: 1,
        token: 0,
    }
};

/// One byte that says whose pool, two for its length, and changes to an account of that
/// length that begins as such a pool does.
pub fn run(bytes: &[u8]) {
    let Some((&[kind, low, high], rest)) = bytes.split_first_chunk() else { return };
    let mut data = vec![0; usize::from(u16::from_le_bytes([low, high])) % 12_000];
    crate::patches::apply(&mut data, rest);
    match kind % 3 {
        0 => {
            let Ok(pool) = Whirlpool::read(&POOL, &whirlpool::PROGRAM_ID, &data) else { return };
            let _ = (pool.tick_arrays(true), pool.tick_arrays(false), pool.leg(&TRADE));
        }
        1 => {
            let Ok(pool) = ClmmPool::read(&POOL, &raydium_clmm::PROGRAM_ID, &data) else { return };
            let extension = BitmapExtension::read(&pool, &raydium_clmm::PROGRAM_ID, &data).ok();
            for sells_first in [true, false] {
                let _ = pool.tick_arrays(sells_first, extension.as_ref());
            }
        }
        _ => {
            let Ok(pool) = CpmmPool::read(&POOL, &raydium_cpmm::PROGRAM_ID, &data) else { return };
            let _ = pool.leg(&TRADE);
        }
    }
}
