//! A Parquet file as a container: what its footer says of columns and row groups.

use std::sync::{Arc, OnceLock};

use arrow::datatypes::{DataType, Schema};
use parquet::arrow::arrow_reader::ArrowReaderMetadata;
use parquet::arrow::parquet_to_arrow_schema;
use parquet::basic::{Compression, ConvertedType, Type};
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};

use super::batches::first_length;
use super::columns::{Column, all_fields};
use super::footer_bytes::{Footer, read_footer};
use super::parquet_bytes::ParquetBytes;
use super::row_group::RowGroup;
use super::statistics;
use crate::archive::class_names;
use crate::archive::container::{Container, OpenUnit, StoredColumn};
use crate::archive::damage::guarded;
use crate::archive::escape::escaped;
use crate::archive::nested::type_at;
use crate::archive::read_at::ReadAt;
use crate::batch::Label;
use crate::error::{Error, Result};

/// How many times its stored bytes a footer takes in memory, those read for it included.
pub(super) const FOOTER_GROWTH: u64 = 4;

/// A file whose footer has been read.
#[derive(Debug)]
pub(super) struct ParquetFile {
    arrow: ArrowReaderMetadata,
    footer_hash: u64,
    footer_bytes: u64,
    /// Planning asks for them, and reading rows does not.
    columns: OnceLock<Vec<StoredColumn>>,
}

impl ParquetFile {
    /// Reads the footer.
    pub(super) fn open(source: &ParquetBytes) -> Result<Self> {
        let Footer { arrow, hash, bytes } = read_footer(source)?;
        Ok(Self { arrow, footer_hash: hash, footer_bytes: bytes, columns: OnceLock::new() })
    }

    pub(super) fn metadata(&self) -> &ParquetMetaData {
        self.arrow.metadata()
    }

    /// A row group of this file, whose pages `source` has.
    pub(super) fn row_group(&self, source: ParquetBytes, row_group: usize) -> RowGroup {
        RowGroup { source, metadata: self.arrow.clone(), index: row_group }
    }

    fn read_columns(&self) -> Vec<StoredColumn> {
        let metadata = self.metadata().file_metadata();
        // The writer's own schema adds fixed sizes and dictionaries. Nothing needs it, so damage in it does no harm.
        let written: Option<Schema> = metadata
            .key_value_metadata()
            .and_then(|pairs| guarded(|| parquet_to_arrow_schema(metadata.schema_descr(), Some(pairs))).ok());
        let roots = metadata.schema_descr().root_schema().get_fields();
        let column = |(at, field): (usize, &Arc<arrow::datatypes::Field>)| {
            let written = written.as_ref().map(|schema| schema.field(at)).filter(|same| same.name() == field.name());
            let info = roots[at].get_basic_info();
            StoredColumn {
                name: field.name().clone(),
                data_type: field.data_type().clone(),
                written_type: written.map_or_else(|| field.data_type(), |written| written.data_type()).clone(),
                is_plain: info.logical_type_ref().is_none() && info.converted_type() == ConvertedType::NONE,
                ..StoredColumn::new("", DataType::Null)
            }
        };
        let mut columns: Vec<StoredColumn> = self.arrow.schema().fields().iter().enumerate().map(column).collect();
        let fields = all_fields(&self.arrow).into_iter().map(|(root, field)| StoredColumn {
            written_type: type_at(&columns[root].written_type, &field.path).unwrap_or(&field.data_type).clone(),
            is_field: true,
            // Whether bytes are a UUID or a decimal is only looked up for roots.
            is_plain: false,
            ..StoredColumn::new(field.name, field.data_type)
        });
        let fields: Vec<StoredColumn> = fields.collect();
        columns.extend(fields);
        columns
    }

    /// The column chunks of some columns in a row group.
    fn chunks(&self, row_group: usize, columns: &[usize]) -> impl Iterator<Item = &ColumnChunkMetaData> {
        let group = self.metadata().row_group(row_group);
        columns.iter().flat_map(|&column| Column::of(&self.arrow, column).leaves).map(|leaf| group.column(leaf))
    }

    /// The first leaf column of a column, and its type.
    fn first_leaf(&self, column: usize) -> Option<(usize, DataType)> {
        let Column { leaves, data_type, .. } = Column::of(&self.arrow, column);
        Some((leaves.into_iter().next()?, data_type))
    }
}

impl Container for ParquetFile {
    /// FNV-1a of the footer's bytes.
    fn fingerprint(&self) -> u64 {
        self.footer_hash
    }

    fn memory(&self) -> u64 {
        self.footer_bytes.saturating_mul(FOOTER_GROWTH)
    }

    fn columns(&self) -> &[StoredColumn] {
        self.columns.get_or_init(|| self.read_columns())
    }

    fn units(&self) -> usize {
        self.metadata().num_row_groups()
    }

    fn rows(&self, unit: usize) -> u64 {
        // The footer's counts were checked when it was read.
        self.metadata().row_group(unit).num_rows() as u64
    }

    fn stored_bytes(&self, unit: usize, columns: &[usize]) -> u64 {
        let bytes = |chunk: &ColumnChunkMetaData| u64::try_from(chunk.compressed_size()).unwrap_or(0);
        self.chunks(unit, columns).map(bytes).fold(0, u64::saturating_add)
    }

    fn text_bytes(&self, unit: usize, columns: &[usize]) -> u64 {
        let texts = self.chunks(unit, columns).filter(|chunk| chunk.column_type() == Type::BYTE_ARRAY);
        let bytes = |chunk: &ColumnChunkMetaData| u64::try_from(chunk.uncompressed_size()).unwrap_or(0);
        texts.map(bytes).fold(0, u64::saturating_add)
    }

    fn range(&self, unit: usize, column: usize) -> Option<(Label, Label)> {
        let (leaf, kind) = self.first_leaf(column)?;
        statistics::range(self.metadata().row_group(unit), leaf, &kind)
    }

    fn constant(&self, unit: usize, column: usize) -> Option<Label> {
        let (leaf, kind) = self.first_leaf(column)?;
        statistics::constant(self.metadata().row_group(unit), leaf, &kind)
    }

    fn check_readable(&self, columns: &[usize]) -> Result<()> {
        let mut leaves: Vec<usize> =
            columns.iter().flat_map(|&column| Column::of(&self.arrow, column).leaves).collect();
        leaves.sort_unstable();
        let groups = self.metadata().row_groups().iter();
        for column in groups.flat_map(|group| leaves.iter().map(|&leaf| group.column(leaf))) {
            let compression = column.compression();
            // Once pages are read this would be taken for damage.
            if matches!(compression, Compression::BROTLI(_) | Compression::LZO) {
                return Err(Error::data("its compression is not supported")
                    .with("column", escaped(&column.column_path().string()))
                    .with("compression", compression)
                    .help("write the file again with zstd, snappy, lz4, gzip or without compression"));
            }
        }
        Ok(())
    }

    /// Whether the first page of the column has one.
    fn has_checksums(&self, bytes: &Arc<dyn ReadAt>, column: usize) -> Result<bool> {
        let leaf = Column::of(&self.arrow, column).leaves.next();
        let group = self.metadata().row_groups().iter().find(|group| group.num_rows() > 0);
        match group.zip(leaf) {
            Some((group, leaf)) => ParquetBytes::new(bytes.clone()).checksum(group.column(leaf)),
            None => Ok(false),
        }
    }

    fn class_names(&self, column: usize) -> Option<Vec<String>> {
        let pairs = self.metadata().file_metadata().key_value_metadata()?;
        let features = pairs.iter().find(|pair| pair.key == class_names::KEY)?.value.as_ref()?;
        class_names::of_metadata(features, &self.columns()[column].name)
    }

    fn first_length(&self, bytes: &Arc<dyn ReadAt>, column: usize) -> Result<Option<usize>> {
        first_length(&ParquetBytes::new(bytes.clone()), &self.arrow, &Column::of(&self.arrow, column))
    }

    fn open_unit(&self, bytes: &Arc<dyn ReadAt>, unit: usize) -> Box<dyn OpenUnit> {
        Box::new(self.row_group(ParquetBytes::new(bytes.clone()), unit))
    }
}
