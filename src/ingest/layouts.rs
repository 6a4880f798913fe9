//! From a line's shape to its layout and its place in the batch.

use std::collections::HashMap;

use crate::{
    engine::{Engine, NameError},
    model::{Batch, LayoutId, Rows, START_FIELD},
    protocol::line::{Shape, ShapeId},
};

/// What a shape means to us.
pub(crate) struct ShapeLayout {
    layout: LayoutId,
    /// Where the value of each field of the layout stands in the shape; `None` where the order is the same.
    order: Option<Box<[u16]>>,
    width: usize,
    /// Its group in the batch with this number.
    group: (u64, usize),
}

/// The layouts of one parser's shapes.
#[derive(Default)]
pub(crate) struct Layouts {
    generation: u32,
    by_shape: Vec<Option<ShapeLayout>>,
    batch: Places,
}

/// Where each layout's group is in the batch being filled.
#[derive(Default)]
pub(crate) struct Places {
    /// The batch's number, from 1.
    number: u64,
    by_layout: HashMap<LayoutId, usize>,
}

impl Layouts {
    /// Begins a batch: groups of earlier ones no longer count.
    pub(crate) fn begin(&mut self) {
        self.batch.number += 1;
        self.batch.by_layout.clear();
    }

    /// The layout of a shape, which has fields. Fails where a limit on tables, fields or layouts is reached.
    pub(crate) fn of(
        &mut self,
        generation: u32,
        id: ShapeId,
        shape: &Shape,
        engine: &Engine,
    ) -> Result<(&mut ShapeLayout, &mut Places), NameError> {
        if self.generation != generation {
            self.by_shape.clear();
            self.generation = generation;
        }
        let index = id.0 as usize;
        if index >= self.by_shape.len() {
            self.by_shape.resize_with(index + 1, || None);
        }
        if self.by_shape[index].is_none() {
            self.by_shape[index] = Some(ShapeLayout::new(shape, engine)?);
        }
        Ok((self.by_shape[index].as_mut().expect("set just above"), &mut self.batch))
    }
}

impl ShapeLayout {
    fn new(shape: &Shape, engine: &Engine) -> Result<Self, NameError> {
        let fields: Vec<&str> = shape.fields().iter().map(|field| &**field).collect();
        if fields.contains(&START_FIELD) {
            return Err(NameError::Reserved(START_FIELD));
        }
        let (layout, order) = engine.layout(shape.measurement(), &fields)?;
        let sorted = order.is_sorted();
        Ok(Self { layout, width: fields.len(), order: (!sorted).then(|| order.into()), group: (0, 0) })
    }

    /// This layout's rows in the batch.
    pub(crate) fn rows<'b>(&mut self, places: &mut Places, batch: &'b mut Batch) -> &'b mut Rows {
        if self.group.0 != places.number {
            let place = *places.by_layout.entry(self.layout).or_insert_with(|| {
                batch.groups.push(Rows { layout: self.layout, width: self.width, ..Rows::default() });
                batch.groups.len() - 1
            });
            self.group = (places.number, place);
        }
        &mut batch.groups[self.group.1]
    }

    /// Appends a line's values in the layout's order.
    pub(crate) fn put(&self, values: &[f64], out: &mut Vec<f64>) {
        match &self.order {
            None => out.extend_from_slice(values),
            Some(order) => out.extend(order.iter().map(|&place| values[usize::from(place)])),
        }
    }
}
