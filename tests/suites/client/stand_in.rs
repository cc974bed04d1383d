//! The client's view of the swap stand-in is the program's own.

use flash_liquidator_client::{
    swap::{
        Amount, Side, Trade,
        stand_in::{self, StandInPool},
    },
    token::TOKEN_PROGRAM_ID,
};
use solana_address::Address;

fn key(byte: u8) -> Address {
    Address::new_from_array([byte; 32])
}

#[test]
fn quotes_are_the_pools() {
    for (amount_in, reserve_in, reserve_out, fee) in [
        (1_000, 1_000_000, 5_000_000, 30),
        (u64::MAX, u64::MAX, u64::MAX, 0),
        (0, 0, 0, 10_000),
        (1, 3, 7, 10_001),
    ] {
        assert_eq!(
            stand_in::amount_out(amount_in, reserve_in, reserve_out, fee),
            swap_stand_in::amount_out(amount_in, reserve_in, reserve_out, fee),
        );
    }
    assert_eq!(stand_in::pool_data(25, 254), swap_stand_in::pool_data(25, 254));
    assert_eq!(stand_in::fee_bps(&swap_stand_in::pool_data(25, 254)), Some(25));
    assert_eq!(stand_in::POOL_LEN, swap_stand_in::POOL_LEN);
    assert_eq!(stand_in::pool_authority_and_bump(&key(2)), swap_stand_in::pool_authority(&key(2)));
}

#[test]
fn the_pool_understands_the_leg() {
    let side =
        |byte| Side { account: key(byte), mint: key(byte + 1), token_program: TOKEN_PROGRAM_ID };
    let (input, output, amount) = (side(10), side(20), Amount::All(5));
    let trade = Trade { authority: key(1), input, output, amount, min_out: 77, token: 2 };
    let sides = [output, input].map(|side| (side.mint, side.token_program));
    let pool = StandInPool::new(&key(2), 25, sides);
    let leg = pool.leg(&trade).unwrap();
    assert_eq!([4, 5].map(|n| leg.accounts[n].pubkey), [pool.vaults[1], pool.vaults[0]]);
    assert_eq!(leg.program, swap_stand_in::ID);
    assert_eq!(leg.accounts.len(), 11);
    assert_eq!(leg.accounts[10].pubkey, swap_stand_in::pool_authority(&pool.pool).0);
    assert_eq!(leg.amount_in_offset, Some(swap_stand_in::AMOUNT_IN_OFFSET));
    assert_eq!(leg.input, 2);
    let spelled = swap_stand_in::swap_data(swap_stand_in::Variant::Honest, 0, 77, 0);
    assert_eq!(leg.data, spelled[..leg.data.len()]);
}
