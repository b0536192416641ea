//! Selectors and quantities: what is accepted is written back as something that means the same.

use std::str::from_utf8;

use mosaic_api::{FieldSelector, LabelSelector, Quantity};

/// A label selector as in a query.
pub fn label_selector(data: &[u8]) {
    let Ok(text) = from_utf8(data) else { return };
    if let Ok(selector) = LabelSelector::parse(text) {
        let written = selector.to_string();
        assert_eq!(
            LabelSelector::parse(&written).as_ref(),
            Ok(&selector),
            "{written}"
        );
    }
}

/// A field selector as in a query.
pub fn field_selector(data: &[u8]) {
    let Ok(text) = from_utf8(data) else { return };
    if let Ok(selector) = FieldSelector::parse(text) {
        let written = selector.to_string();
        assert_eq!(
            FieldSelector::parse(&written).as_ref(),
            Ok(&selector),
            "{written}"
        );
    }
}

/// A resource quantity.
pub fn quantity(data: &[u8]) {
    let Ok(text) = from_utf8(data) else { return };
    if let Ok(quantity) = text.parse::<Quantity>() {
        let written = quantity.to_string();
        let read: Result<Quantity, _> = written.parse();
        assert!(
            read.as_ref().is_ok_and(|read| read.cmp(&quantity).is_eq()),
            "{text} became {written}"
        );
        let _ = (
            quantity.value(),
            quantity.milli_value(),
            quantity.add(quantity),
            quantity.sub(quantity),
        );
    }
}
