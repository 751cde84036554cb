//! What has to be known about a type to write its values as JSON, found out once for each column.
//!
//! The rules are those of the server's `json_categorize_type`. This module never asks the server for anything.

use std::collections::HashMap;
use std::sync::Arc;

use tokio_postgres::types::{Field, Kind, Oid, Type};

/// Types hold types; a type that nests deeper is shown as the server's text. It also bounds every recursion.
const MAX_HEIGHT: usize = 32;

/// Objects below are PostgreSQL's own.
const FIRST_NORMAL_OID: Oid = 16_384;

/// How the text of a value becomes JSON.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Shape {
    Text,
    Bool,
    Number,
    Json,
    Jsonb,
    /// `timestamp` and `timestamptz`.
    Moment,
    Hstore,
    /// `int2vector` and `oidvector`.
    Vector(Arc<Shape>),
    Array {
        element: Arc<Shape>,
        delimiter: u8,
    },
    Composite(Vec<(String, Arc<Shape>)>),
}

/// How numbers are written of which JavaScript's own would lose digits: those of `int8` and `numeric`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum LongNumbers {
    /// As numbers, like all others.
    Bare,
    /// As strings, for scripts.
    Quoted,
}

/// Finds out the shapes of types. A type is looked at once, however many others hold it.
#[derive(Debug)]
pub(crate) struct Shapes<'a> {
    delimiters: &'a HashMap<Oid, u8>,
    long_numbers: LongNumbers,
    /// With each shape, how many types lie inside of one another.
    known: HashMap<Oid, (usize, Arc<Shape>)>,
}

impl<'a> Shapes<'a> {
    /// Takes what separates the elements of arrays, for the elements of [`foreign_elements`].
    pub(crate) fn new(delimiters: &'a HashMap<Oid, u8>, long_numbers: LongNumbers) -> Self {
        Self { delimiters, long_numbers, known: HashMap::new() }
    }

    pub(crate) fn of(&mut self, ty: &Type) -> Arc<Shape> {
        self.with_height(ty).1
    }

    fn with_height(&mut self, ty: &Type) -> (usize, Arc<Shape>) {
        if let Some(found) = self.known.get(&ty.oid()) {
            return found.clone();
        }
        let (height, shape) = match (self.plain(ty), ty.kind()) {
            (Some(shape), _) => (0, Arc::new(shape)),
            (None, Kind::Domain(inner)) => self.with_height(inner),
            (None, Kind::Array(element)) => self.array(element),
            (None, Kind::Composite(fields)) => self.composite(fields),
            // Everything else is text to `to_json`, and so are kinds that a newer driver may know.
            (None, _) => (0, Arc::new(Shape::Text)),
        };
        let shape = if height < MAX_HEIGHT { shape } else { Arc::new(Shape::Text) };
        self.known.insert(ty.oid(), (height + 1, shape.clone()));
        (height + 1, shape)
    }

    /// The shapes that a type's name alone decides on.
    fn plain(&self, ty: &Type) -> Option<Shape> {
        let long = matches!(*ty, Type::INT8 | Type::NUMERIC);
        if long && self.long_numbers == LongNumbers::Quoted { Some(Shape::Text) } else { plain(ty) }
    }

    fn array(&mut self, element: &Type) -> (usize, Arc<Shape>) {
        let (height, shape) = self.with_height(element);
        let delimiter = match base(element) {
            // The one built-in type with a delimiter of its own.
            ty if *ty == Type::BOX => b';',
            ty => self.delimiters.get(&ty.oid()).copied().unwrap_or(b','),
        };
        // Texts are cut at it, which must not happen inside of a character.
        let shape =
            if delimiter.is_ascii() { Shape::Array { element: shape, delimiter } } else { Shape::Text };
        (height, Arc::new(shape))
    }

    fn composite(&mut self, fields: &[Field]) -> (usize, Arc<Shape>) {
        let mut highest = 0;
        let mut shapes = Vec::with_capacity(fields.len());
        for field in fields {
            let (height, shape) = self.with_height(field.type_());
            highest = highest.max(height);
            shapes.push((field.name().to_owned(), shape));
        }
        (highest, Arc::new(Shape::Composite(shapes)))
    }
}

/// The same when all numbers are bare.
fn plain(ty: &Type) -> Option<Shape> {
    let shape = match *ty {
        Type::BOOL => Shape::Bool,
        Type::INT2 | Type::INT4 | Type::INT8 | Type::FLOAT4 | Type::FLOAT8 | Type::NUMERIC => Shape::Number,
        Type::JSON => Shape::Json,
        Type::JSONB => Shape::Jsonb,
        Type::TIMESTAMP | Type::TIMESTAMPTZ => Shape::Moment,
        Type::INT2_VECTOR => Shape::Vector(Arc::new(Shape::Number)),
        Type::OID_VECTOR => Shape::Vector(Arc::new(Shape::Text)),
        // The text does not say what the fields of these records are.
        Type::RECORD_ARRAY => Shape::Array { element: Arc::new(Shape::Text), delimiter: b',' },
        // `to_json` would call its cast to `json`. Only an extension can make such a type, and the one of this
        // name is in every installation of PostgreSQL.
        _ if ty.name() == "hstore" && is_foreign(ty) => Shape::Hstore,
        _ => return None,
    };
    Some(shape)
}

/// The types of extensions that are elements of arrays inside of these types: only the server knows what
/// separates them. A type is looked at once.
pub(crate) fn foreign_elements<'t>(types: impl Iterator<Item = &'t Type>) -> Vec<Oid> {
    let mut seen = HashMap::new();
    for ty in types {
        visit(ty, false, &mut seen);
    }
    let mut found: Vec<Oid> = seen.into_iter().filter_map(|(oid, wanted)| wanted.then_some(oid)).collect();
    found.sort_unstable();
    found
}

fn visit(ty: &Type, in_array: bool, seen: &mut HashMap<Oid, bool>) {
    let wanted = in_array && is_foreign(ty);
    if let Some(known) = seen.get_mut(&ty.oid()) {
        *known |= wanted;
        // Whatever lies inside of a domain may be an element by way of it.
        if !(in_array && matches!(ty.kind(), Kind::Domain(_))) {
            return;
        }
    }
    seen.insert(ty.oid(), wanted);
    match ty.kind() {
        Kind::Array(inner) => visit(inner, true, seen),
        Kind::Domain(inner) => visit(inner, in_array, seen),
        Kind::Composite(fields) => fields.iter().for_each(|field| visit(field.type_(), false, seen)),
        // Ranges are text to `to_json`, whatever lies inside, and the rest holds no other type.
        _ => {}
    }
}

/// Whether a base type is an extension's.
fn is_foreign(ty: &Type) -> bool {
    matches!(ty.kind(), Kind::Simple) && ty.oid() >= FIRST_NORMAL_OID
}

/// What a domain is made of.
fn base(ty: &Type) -> &Type {
    let mut ty = ty;
    while let Kind::Domain(inner) = ty.kind() {
        ty = inner;
    }
    ty
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(oid: Oid, name: &str, kind: Kind) -> Type {
        Type::new(name.to_owned(), oid, kind, "public".to_owned())
    }

    #[test]
    fn domains_are_what_they_are_made_of() {
        let domain = made(100_001, "d", Kind::Domain(made(100_002, "e", Kind::Domain(Type::INT4))));
        assert_eq!(*Shapes::new(&HashMap::new(), LongNumbers::Bare).of(&domain), Shape::Number);
        let boxes = made(100_003, "_b", Kind::Array(made(100_004, "b", Kind::Domain(Type::BOX))));
        let found = Shapes::new(&HashMap::new(), LongNumbers::Bare).of(&boxes);
        assert_eq!(*found, Shape::Array { element: Arc::new(Shape::Text), delimiter: b';' });
    }

    #[test]
    fn long_numbers_are_text_for_scripts_wherever_they_are() {
        let delimiters = HashMap::new();
        let mut shapes = Shapes::new(&delimiters, LongNumbers::Quoted);
        let domain = made(100_001, "d", Kind::Domain(Type::NUMERIC));
        let field = |name: &str, ty: &Type| Field::new(name.to_owned(), ty.clone());
        let fields = vec![field("a", &domain), field("b", &Type::INT4)];
        let composite = made(100_002, "c", Kind::Composite(fields));
        for ty in [&Type::INT8, &Type::NUMERIC, &domain] {
            assert_eq!(*shapes.of(ty), Shape::Text);
        }
        for ty in [Type::INT2, Type::INT4, Type::FLOAT4, Type::FLOAT8] {
            assert_eq!(*shapes.of(&ty), Shape::Number);
        }
        let texts = Shape::Array { element: Arc::new(Shape::Text), delimiter: b',' };
        assert_eq!(*shapes.of(&Type::INT8_ARRAY), texts);
        let fields = vec![("a".to_owned(), Arc::new(Shape::Text)), ("b".to_owned(), Arc::new(Shape::Number))];
        assert_eq!(*shapes.of(&composite), Shape::Composite(fields));
    }

    #[test]
    fn arrays_of_extensions_keep_their_own_delimiter() {
        let geometry = made(100_001, "geometry", Kind::Simple);
        let domain = made(100_002, "place", Kind::Domain(geometry.clone()));
        let array = made(100_003, "_place", Kind::Array(domain.clone()));
        let field = |name: &str, ty: &Type| Field::new(name.to_owned(), ty.clone());
        let holder = made(
            100_004,
            "holder",
            Kind::Composite(vec![
                field("one", &domain),
                field("many", &array),
                field("x", &Type::INT4_ARRAY),
            ]),
        );
        assert_eq!(foreign_elements([&holder].into_iter()), [100_001]);
        assert_eq!(foreign_elements([&domain, &Type::TEXT_ARRAY].into_iter()), Vec::<Oid>::new());
        for (delimiter, shape) in
            [(b':', Shape::Array { element: Arc::new(Shape::Text), delimiter: b':' }), (0xe9, Shape::Text)]
        {
            let delimiters = HashMap::from([(100_001, delimiter)]);
            assert_eq!(*Shapes::new(&delimiters, LongNumbers::Bare).of(&array), shape);
        }
    }

    #[test]
    fn a_type_that_nests_too_deeply_is_text() {
        let mut ty = Type::INT4;
        let mut shape = Arc::new(Shape::Number);
        for level in 1..100 {
            let field = Field::new("x".to_owned(), ty);
            ty = made(100_000 + level, "n", Kind::Composite(vec![field.clone(), field]));
            shape = Shapes::new(&HashMap::new(), LongNumbers::Bare).of(&ty);
            assert_eq!(matches!(*shape, Shape::Composite(_)), level < 32, "{level}");
        }
        assert_eq!(*shape, Shape::Text);
    }
}
