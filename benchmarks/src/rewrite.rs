//! `:name` rewriting alone, without a connection.

use databases_core::sql::{Dialect, ItemShape, Shape, TemplateCache, Values, scan};
use harness::{Client, Plan, REWRITTEN, Result, Work};

pub(crate) struct Rewrite {
    cache: TemplateCache,
}

/// Values that are no lists.
struct Names;

impl Values for Names {
    fn len(&self) -> usize {
        6
    }

    fn name(&self, index: usize) -> &str {
        ["state", "since", "low", "high", "limit", "offset"][index]
    }

    fn shape(&self, _: usize) -> Shape {
        Shape::Scalar
    }

    fn item_shape(&self, _: usize, _: usize) -> ItemShape {
        ItemShape::Scalar
    }
}

impl Client for Rewrite {
    async fn open(_: &Plan) -> Result<Vec<Self>> {
        Ok(vec![Self { cache: TemplateCache::new() }])
    }

    async fn script(&mut self, _: &str) -> Result<()> {
        Ok(())
    }

    async fn run(&mut self, work: Work, _: i64) -> Result<usize> {
        if work == Work::RewriteMiss {
            return Ok(scan(REWRITTEN, Dialect::POSTGRES)?.names().len());
        }
        let template = self.cache.get_or_scan(REWRITTEN, Dialect::POSTGRES)?;
        Ok(template.bind(&Names, false)?.sql.len())
    }
}
