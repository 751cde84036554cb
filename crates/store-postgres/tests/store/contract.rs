//! The rules that every store keeps.

use crate::world::stores;

testkit::store_contract!(stores);
