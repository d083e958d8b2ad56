//! JSON files with one array of objects. They are read whole, each by one partition: a part of an array is no JSON.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::catalog::Session;
use datafusion::common::{Result as SqlResult, Statistics};
use datafusion::datasource::file_format::FileFormat;
use datafusion::datasource::file_format::file_compression_type::FileCompressionType;
use datafusion::datasource::file_format::json::JsonFormat;
use datafusion::datasource::physical_plan::{FileScanConfig, FileScanConfigBuilder, FileSource};
use datafusion::datasource::table_schema::TableSchema;
use datafusion::object_store as stores;
use datafusion::physical_expr::Partitioning;
use datafusion::physical_plan::ExecutionPlan;

/// DataFusion's format of such files, without the ranges of large files that its optimizer makes and its reader refuses.
#[derive(Debug)]
pub(super) struct JsonArrays(JsonFormat);

impl JsonArrays {
    pub(super) fn new() -> Self {
        Self(JsonFormat::default().with_newline_delimited(false))
    }
}

#[async_trait]
impl FileFormat for JsonArrays {
    fn get_ext(&self) -> String {
        self.0.get_ext()
    }

    fn get_ext_with_compression(&self, compression: &FileCompressionType) -> SqlResult<String> {
        self.0.get_ext_with_compression(compression)
    }

    fn compression_type(&self) -> Option<FileCompressionType> {
        self.0.compression_type()
    }

    async fn infer_schema(
        &self,
        state: &dyn Session,
        store: &Arc<dyn stores::ObjectStore>,
        objects: &[stores::ObjectMeta],
    ) -> SqlResult<SchemaRef> {
        self.0.infer_schema(state, store, objects).await
    }

    async fn infer_stats(
        &self,
        state: &dyn Session,
        store: &Arc<dyn stores::ObjectStore>,
        table_schema: SchemaRef,
        object: &stores::ObjectMeta,
    ) -> SqlResult<Statistics> {
        self.0.infer_stats(state, store, table_schema, object).await
    }

    async fn create_physical_plan(
        &self,
        state: &dyn Session,
        config: FileScanConfig,
    ) -> SqlResult<Arc<dyn ExecutionPlan>> {
        // Files whose partitions are declared are not split.
        let partitions = Partitioning::UnknownPartitioning(config.file_groups.len());
        let config = FileScanConfigBuilder::from(config).with_output_partitioning(Some(partitions)).build();
        self.0.create_physical_plan(state, config).await
    }

    fn file_source(&self, table_schema: TableSchema) -> Arc<dyn FileSource> {
        self.0.file_source(table_schema)
    }
}
