//! What the real Drift needs in its accounts besides what the stand-in reads: the
//! market maker's curve, guard rails, averages, totals. Offsets count from the
//! account's first byte (Drift 2.161.0).

use klend_fork::World;
use solana_address::Address;

/// The accounts to complete.
pub struct Keys {
    pub state: Address,
    pub spot: [Address; 2],
    pub perp: Address,
    pub user: Address,
}

/// An account's bytes, to be written to.
struct Bytes(Vec<u8>);

impl Bytes {
    fn put<const N: usize>(&mut self, at: usize, bytes: [u8; N]) {
        self.0[at..at + N].copy_from_slice(&bytes);
    }

    fn i64(&self, at: usize) -> i64 {
        i64::from_le_bytes(*self.0[at..].first_chunk().unwrap())
    }
}

fn edit(world: &mut World, key: &Address, change: impl FnOnce(&mut Bytes)) {
    let mut account = world.account(key).unwrap();
    let mut bytes = Bytes(account.data);
    change(&mut bytes);
    account.data = bytes.0;
    world.set_account(key, account).unwrap();
}

/// Completes all of them, with the oracle's average at `price`.
pub fn complete(world: &mut World, keys: &Keys, price: i64) {
    let now = world.unix_timestamp();
    let slot = world.slot();
    edit(world, &keys.state, |state| {
        // Ten fee tiers, all alike: taker's and maker's share, two discounts.
        for structure in [168, 528] {
            for tier in 0..10 {
                let at = structure + 32 * tier;
                for (part, number) in [1, 1_000, 0, 1_000, 0, 1, 0, 1].into_iter().enumerate() {
                    state.put(at + 4 * part, u32::to_le_bytes(number));
                }
            }
            // The filler's reward.
            state.put(structure + 324, 1u32.to_le_bytes());
        }
        // Mark and oracle may be ten per cent apart, oracle and average fifty.
        state.put(888, 100_000u64.to_le_bytes());
        state.put(896, 500_000u64.to_le_bytes());
        state.put(904, 10i64.to_le_bytes());
        state.put(912, 120i64.to_le_bytes());
        state.put(920, 20_000u64.to_le_bytes());
        state.put(928, 5i64.to_le_bytes());
        state.put(966, 1u16.to_le_bytes());
        state.put(968, 2u16.to_le_bytes());
        state.put(978, 100u16.to_le_bytes());
    });
    for (index, (key, price)) in keys.spot.iter().zip([1_000_000, price]).enumerate() {
        edit(world, key, |market| {
            history(market, 168, price, now);
            market.put(568, now.to_le_bytes());
            market.put(576, now.to_le_bytes());
            // Order step and tick.
            market.put(592, 1u64.to_le_bytes());
            market.put(600, 1u64.to_le_bytes());
            // Utilisation and rates that never matter.
            market.put(668, 800_000u32.to_le_bytes());
            market.put(676, 1u32.to_le_bytes());
            market.put(272, (index as u16).to_le_bytes());
            market.put(296, (index as u16).to_le_bytes());
        });
    }
    let (base, quote) = position(world, &keys.user);
    edit(world, &keys.user, |user| {
        // The number of its next liquidation.
        user.put(4_344, 1u16.to_le_bytes());
        for slot in 0..8 {
            let at = 424 + 96 * slot;
            // Entry and break-even, as if nothing had been paid but the price.
            for field in [24, 32] {
                let quote = if user.i64(at + 8) == 0 { 0 } else { user.i64(at + 16) };
                user.put(at + field, quote.to_le_bytes());
            }
        }
    });
    edit(world, &keys.perp, |market| {
        history(market, 72, price, now);
        // A million SOL on each side before the user came, at the oracle's price.
        let depth: u128 = 1_000_000 * 1_000_000_000;
        let base_reserve = depth.wrapping_add_signed(-i128::from(base));
        let quote_reserve = depth * depth / base_reserve;
        let peg = price as u128 * base_reserve / quote_reserve;
        for at in [176, 656, 688] {
            market.put(at, base_reserve.to_le_bytes());
        }
        for at in [192, 672, 704] {
            market.put(at, quote_reserve.to_le_bytes());
        }
        market.put(208, 1_207_107u128.to_le_bytes());
        market.put(224, (depth * 7 / 10).to_le_bytes());
        market.put(240, (depth * 14 / 10).to_le_bytes());
        market.put(256, depth.to_le_bytes());
        market.put(272, peg.to_le_bytes());
        market.put(288, depth.to_le_bytes());
        // Totals of all users: one of them.
        let (long, short) = (base.max(0), base.min(0));
        market.put(304, i128::from(long).to_le_bytes());
        market.put(320, i128::from(short).to_le_bytes());
        market.put(336, i128::from(base).to_le_bytes());
        market.put(384, i128::from(quote).to_le_bytes());
        let side = if base < 0 { 16 } else { 0 };
        let entered = if base == 0 { 0 } else { i128::from(quote) };
        for at in [400, 432] {
            market.put(at, [0; 32]);
            market.put(at + side, entered.to_le_bytes());
        }
        // Fees earned: the market maker is not in distress.
        let earned = 10_000_000_000_000i128;
        for at in [512, 528, 560] {
            market.put(at, earned.to_le_bytes());
        }
        market.put(720, price.to_le_bytes());
        for at in [736, 744, 752, 760] {
            market.put(at, price.to_le_bytes());
        }
        market.put(768, slot.to_le_bytes());
        market.put(792, now.to_le_bytes());
        market.put(800, 3_600i64.to_le_bytes());
        market.put(816, 100u64.to_le_bytes());
        market.put(824, 10_000_000u64.to_le_bytes());
        market.put(864, now.to_le_bytes());
        market.put(888, now.to_le_bytes());
        market.put(896, 1_000u32.to_le_bytes());
        market.put(900, 50_000u32.to_le_bytes());
        market.put(920, 1u16.to_le_bytes());
        market.put(922, 50u16.to_le_bytes());
        // The market maker also fills at once what reduces its position.
        market.put(925, [100]);
        market.put(927, [1]);
        market.put(1_152, 1u32.to_le_bytes());
        market.put(1_156, 1u32.to_le_bytes());
    });
}

/// Last price, confidence, delay, averages and their time.
fn history(market: &mut Bytes, at: usize, price: i64, now: i64) {
    for field in [0, 24, 32] {
        market.put(at + field, price.to_le_bytes());
    }
    market.put(at + 8, 1u64.to_le_bytes());
    market.put(at + 40, now.to_le_bytes());
}

/// Size and quote of the user's only perp position.
fn position(world: &World, user: &Address) -> (i64, i64) {
    let user = Bytes(world.account(user).unwrap().data);
    let at = |slot: usize| 424 + 96 * slot;
    let used = (0..8).find(|slot| user.i64(at(*slot) + 8) != 0 || user.i64(at(*slot) + 16) != 0);
    used.map_or((0, 0), |slot| (user.i64(at(slot) + 8), user.i64(at(slot) + 16)))
}

/// What the real program wants to know besides of a user with one order that rests in
/// its first slot: its number, size (negative for a sale) and the counters.
pub fn resting_order(user: &mut [u8], position: usize, size: i64) {
    // Its number, and the next.
    user[1_192 + 76..][..4].copy_from_slice(&1u32.to_le_bytes());
    user[4_336..][..4].copy_from_slice(&2u32.to_le_bytes());
    // One order on the book, of the account and of the position.
    user[4_351..4_353].fill(1);
    let side = if size < 0 { 48 } else { 40 };
    user[424 + 96 * position + side..][..8].copy_from_slice(&size.to_le_bytes());
}

/// The market maker's curve follows the oracle with all its might.
pub fn follow_the_oracle(market: &mut [u8]) {
    market[924] = 100;
}
