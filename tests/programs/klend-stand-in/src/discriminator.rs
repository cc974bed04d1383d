//! First bytes of instruction data: `sha256("global:<name>")[..8]`.

/// Length of a discriminator.
pub const LEN: usize = 8;

macro_rules! discriminators {
    ($($name:ident = $bytes:expr;)*) => {
        $(pub const $name: [u8; LEN] = $bytes;)*

        /// Every instruction with its name in upper case.
        pub const ALL: &[(&str, [u8; LEN])] = &[$((stringify!($name), $name),)*];
    };
}

discriminators! {
    INIT_USER_METADATA = [117, 169, 176, 69, 197, 23, 15, 162];
    INIT_OBLIGATION = [251, 10, 231, 76, 27, 11, 159, 96];
    INIT_OBLIGATION_FARMS_FOR_RESERVE = [136, 63, 15, 186, 211, 152, 168, 164];
    INIT_REFERRER_TOKEN_STATE = [116, 45, 66, 148, 58, 13, 218, 115];
    REFRESH_OBLIGATION_FARMS_FOR_RESERVE = [140, 144, 253, 21, 10, 74, 248, 3];
    REQUEST_ELEVATION_GROUP = [36, 119, 251, 129, 34, 240, 7, 147];
    DEPOSIT_RESERVE_LIQUIDITY = [169, 201, 30, 126, 6, 205, 102, 68];
    DEPOSIT_OBLIGATION_COLLATERAL_V2 = [137, 145, 151, 94, 167, 113, 4, 145];
    DEPOSIT_RESERVE_LIQUIDITY_AND_OBLIGATION_COLLATERAL_V2 = [216, 224, 191, 27, 204, 151, 102, 175];
    REDEEM_RESERVE_COLLATERAL = [234, 117, 181, 125, 185, 142, 220, 29];
    BORROW_OBLIGATION_LIQUIDITY_V2 = [161, 128, 143, 245, 171, 199, 194, 6];
    REFRESH_RESERVE = [2, 218, 138, 235, 79, 201, 25, 102];
    REFRESH_RESERVES_BATCH = [144, 110, 26, 103, 162, 204, 252, 147];
    REFRESH_OBLIGATION = [33, 132, 147, 228, 151, 192, 72, 89];
    UPDATE_RESERVE_CONFIG = [61, 148, 100, 70, 143, 107, 17, 13];
    FLASH_BORROW_RESERVE_LIQUIDITY = [135, 231, 52, 167, 7, 52, 212, 193];
    FLASH_REPAY_RESERVE_LIQUIDITY = [185, 117, 0, 203, 96, 245, 180, 186];
    LIQUIDATE_OBLIGATION_AND_REDEEM_RESERVE_COLLATERAL = [177, 71, 154, 188, 226, 133, 74, 55];
    LIQUIDATE_OBLIGATION_AND_REDEEM_RESERVE_COLLATERAL_V2 = [162, 161, 35, 143, 30, 187, 185, 103];
}
