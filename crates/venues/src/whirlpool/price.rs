//! The price of a tick, as the Whirlpool program rounds it.

use ethnum::U256;

use crate::concentrated::MAX_TICK;

/// `2⁹⁶ · 1.0001^(2ⁿ / 2)`.
const UP: [u128; 19] = [
    79_232_123_823_359_799_118_286_999_567,
    79_236_085_330_515_764_027_303_304_731,
    79_244_008_939_048_815_603_706_035_061,
    79_259_858_533_276_714_757_314_932_305,
    79_291_567_232_598_584_799_939_703_904,
    79_355_022_692_464_371_645_785_046_466,
    79_482_085_999_252_804_386_437_311_141,
    79_736_823_300_114_093_921_829_183_326,
    80_248_749_790_819_932_309_965_073_892,
    81_282_483_887_344_747_381_513_967_011,
    83_390_072_131_320_151_908_154_831_281,
    87_770_609_709_833_776_024_991_924_138,
    97_234_110_755_111_693_312_479_820_773,
    119_332_217_159_966_728_226_237_229_890,
    179_736_315_981_702_064_433_883_588_727,
    407_748_233_172_238_350_107_850_275_304,
    2_098_478_828_474_011_932_436_660_412_517,
    55_581_415_166_113_811_149_459_800_483_533,
    38_992_368_544_603_139_932_233_054_999_993_551,
];

/// `2⁶⁴ / 1.0001^(2ⁿ / 2)`.
const DOWN: [u128; 19] = [
    18_445_821_805_675_392_311,
    18_444_899_583_751_176_498,
    18_443_055_278_223_354_162,
    18_439_367_220_385_604_838,
    18_431_993_317_065_449_817,
    18_417_254_355_718_160_513,
    18_387_811_781_193_591_352,
    18_329_067_761_203_520_168,
    18_212_142_134_806_087_854,
    17_980_523_815_641_551_639,
    17_526_086_738_831_147_013,
    16_651_378_430_235_024_244,
    15_030_750_278_693_429_944,
    12_247_334_978_882_834_399,
    8_131_365_268_884_726_200,
    3_584_323_654_723_342_297,
    696_457_651_847_595_233,
    26_294_789_957_452_057,
    37_481_735_321_082,
];

/// The square root of a tick's price, in units of 2⁻⁶⁴.
pub(super) fn sqrt_price(tick: i32) -> u128 {
    let distance = tick.unsigned_abs();
    let set = |n: &usize| distance >> n & 1 == 1;
    if tick < 0 {
        (0..DOWN.len()).filter(set).fold(1 << 64, |price, n| (price * DOWN[n]) >> 64)
    } else {
        let price = (0..UP.len()).filter(set).fold(1u128 << 96, |price, n| {
            if price == 1 << 96 { UP[n] } else { shifted(price, UP[n]) }
        });
        price >> 32
    }
}

/// The tick that a price lies in.
pub(super) fn tick(sqrt_price: u128) -> i32 {
    let (mut low, mut high) = (-MAX_TICK, MAX_TICK);
    while low < high {
        let middle = low + (high - low + 1) / 2;
        if self::sqrt_price(middle) <= sqrt_price { low = middle } else { high = middle - 1 }
    }
    low
}

/// `a · b / 2⁹⁶`.
fn shifted(a: u128, b: u128) -> u128 {
    let product: U256 = (U256::from(a) * U256::from(b)) >> 96;
    product.as_u128()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{concentrated::MIN_SQRT_PRICE, whirlpool::MAX_SQRT_PRICE};

    #[test]
    fn prices_are_the_published_ones() {
        assert_eq!(sqrt_price(-MAX_TICK), MIN_SQRT_PRICE);
        assert_eq!(sqrt_price(MAX_TICK), MAX_SQRT_PRICE);
        assert_eq!(sqrt_price(0), 1 << 64);
        // 1.0001^(1/2), and its inverse.
        assert_eq!(sqrt_price(1), 18_447_666_387_855_959_850);
        assert_eq!(sqrt_price(-1), 18_445_821_805_675_392_311);
    }

    #[test]
    fn prices_grow_by_a_ten_thousandth() {
        for tick in (-MAX_TICK..MAX_TICK).step_by(97) {
            let ratio = sqrt_price(tick + 1) as f64 / sqrt_price(tick) as f64;
            assert!((ratio - 1.0001f64.sqrt()).abs() < 1e-8, "{tick}: {ratio}");
            let (from, to) = (sqrt_price(tick), sqrt_price(tick + 1));
            assert_eq!([from, to - 1, to].map(super::tick), [tick, tick, tick + 1]);
        }
    }
}
