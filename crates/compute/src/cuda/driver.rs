//! The driver: memory, kernels, graphs and cuBLAS on one stream. The one module of this crate with `unsafe`.
//!
//! What keeps it sound: everything runs in order on one stream that one thread uses. Memory is freed in that order, too,
//! so no kernel that was launched before can still use it. Kernels get addresses of memory that their caller holds, with
//! sizes that it has checked; what a kernel reads and writes beyond them would be a mistake in the kernel, which the
//! checks against the reference back end are for.

use cudarc::cublas::{result as blas, sys as blas_sys};
use cudarc::driver::result as driver;
use cudarc::driver::{CudaContext, CudaFunction, CudaGraph, CudaSlice, CudaStream, DevicePtr, DriverError, sys};
use cudarc::nvrtc::Ptx;
use std::cell::Cell;
use std::collections::HashMap;
use std::ffi::c_void;
use std::fmt;
use std::sync::Arc;

/// Images of kernels, as `build.rs` compiled them, with the names of their kernels.
const IMAGES: [(&[u8], &[&[&str]]); 5] = [
    (include_bytes!(concat!(env!("OUT_DIR"), "/matvec.fatbin")), &[&super::kernels::MATVEC, &super::kernels::PREPARE]),
    (include_bytes!(concat!(env!("OUT_DIR"), "/attend.fatbin")), &[&super::kernels::ATTEND]),
    (include_bytes!(concat!(env!("OUT_DIR"), "/flash.fatbin")), &[&super::kernels::FLASH]),
    (include_bytes!(concat!(env!("OUT_DIR"), "/prompt.fatbin")), &[&super::kernels::PROMPT]),
    (include_bytes!(concat!(env!("OUT_DIR"), "/candidates.fatbin")), &[&super::kernels::CANDIDATES]),
];

/// cuBLAS' memory for intermediate results: what it takes for its fastest kernels on Hopper. It is given because a graph
/// must not allocate.
pub(super) const BLAS_BYTES: usize = 32 << 20;

/// A GPU that does not do what it is asked for.
#[derive(Debug, thiserror::Error)]
pub(super) enum GpuError {
    #[error("{doing} failed")]
    Driver { doing: &'static str, source: DriverError },
    #[error("a product failed")]
    Blas(#[source] cudarc::cublas::result::CublasError),
    #[error("there is no kernel {0}")]
    Kernel(String),
    #[error("the stage was asked for a step while another was under way")]
    OtherStep,
    #[error("the session's memory could not be had when it was opened")]
    NoMemory,
}

type Result<T> = std::result::Result<T, GpuError>;

fn doing<T>(doing: &'static str, result: std::result::Result<T, DriverError>) -> Result<T> {
    result.map_err(|source| GpuError::Driver { doing, source })
}

/// A piece of the GPU's memory.
#[derive(Debug)]
pub(super) struct Memory {
    slice: CudaSlice<u8>,
    stream: Arc<CudaStream>,
}

impl Memory {
    /// Where it begins.
    pub(super) fn at(&self) -> u64 {
        self.slice.device_ptr(&self.stream).0
    }

    /// Its size.
    pub(super) fn bytes(&self) -> usize {
        self.slice.len()
    }
}

/// Main memory that kernels write to.
#[derive(Debug)]
pub(super) struct Shared {
    at: *mut u8,
    bytes: usize,
    /// The memory belongs to the context.
    _context: Arc<CudaContext>,
}

// SAFETY: the memory is this value's own; nothing ties it to a thread.
unsafe impl Send for Shared {}

impl Shared {
    /// Where it begins, for kernels too: with unified addresses that is the same.
    pub(super) fn at(&self) -> u64 {
        self.at as u64
    }

    /// 32-bit words from a place on. Only what kernels wrote before the last [`Gpu::finish`] is there for certain.
    pub(super) fn words(&self, start: usize, count: usize) -> Vec<u32> {
        let end = (start + count).min(self.bytes / 4);
        // SAFETY: the words are within the memory, which is aligned to pages; reads are volatile because kernels write.
        (start.min(end)..end).map(|at| unsafe { self.at.cast::<u32>().add(at).read_volatile() }).collect()
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // SAFETY: allocated by `malloc_host`, freed once.
        let _ = unsafe { driver::free_host(self.at.cast()) };
    }
}

/// A captured sequence of launches.
pub(super) struct Graph {
    graph: CudaGraph,
    launches: u64,
}

// SAFETY: a graph is replayed by the thread that owns its stage alone.
unsafe impl Send for Graph {}

/// How many blocks of how many threads.
#[derive(Debug, Clone, Copy)]
pub(super) struct Grid {
    pub(super) blocks: (u32, u32, u32),
    pub(super) threads: u32,
    /// Bytes of shared memory besides what the kernel declares.
    pub(super) shared: u32,
}

/// The element type of a product's matrices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Element {
    F32,
    F16,
    Bf16,
}

impl Element {
    pub(super) fn bytes(self) -> usize {
        if self == Element::F32 { 4 } else { 2 }
    }

    /// Its name among kernels.
    pub(super) fn name(self) -> &'static str {
        match self {
            Element::F32 => "f32",
            Element::F16 => "f16",
            Element::Bf16 => "bf16",
        }
    }
}

/// `y = x × wᵀ + keep × y`, in f32.
#[derive(Debug, Clone, Copy)]
pub(super) struct Gemm {
    pub(super) element: Element,
    /// `(n, k)`, rows `w_stride` elements apart.
    pub(super) w: u64,
    pub(super) w_stride: usize,
    /// `(rows, k)`
    pub(super) x: u64,
    /// `(rows, n)`, rows `y_stride` elements apart.
    pub(super) y: u64,
    pub(super) y_stride: usize,
    pub(super) rows: usize,
    pub(super) n: usize,
    pub(super) k: usize,
    pub(super) scale: f32,
    pub(super) keep: f32,
}

/// One GPU, with a stream of its own.
pub(super) struct Gpu {
    context: Arc<CudaContext>,
    stream: Arc<CudaStream>,
    functions: HashMap<&'static str, CudaFunction>,
    blas: blas_sys::cublasHandle_t,
    _blas_memory: Memory,
    /// Multiprocessors.
    pub(super) processors: usize,
    /// The most bytes of shared memory that a block may have.
    pub(super) shared: usize,
    /// Whether tensor cores take f16 with sums in f32, 16 × 8 × 16 at a time.
    pub(super) tensor_cores: bool,
    /// Whether a kernel may be launched before the one before it has ended.
    overlaps: bool,
    launches: Cell<u64>,
}

// SAFETY: the handle of cuBLAS belongs to this value, which one thread uses at a time.
unsafe impl Send for Gpu {}

impl fmt::Debug for Gpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gpu").field("ordinal", &self.context.ordinal()).finish_non_exhaustive()
    }
}

impl Gpu {
    /// Opens a GPU and loads the kernels.
    pub(super) fn open(index: usize) -> Result<Self> {
        use sys::CUdevice_attribute_enum as Attribute;
        let context = doing("opening the GPU", CudaContext::new(index))?;
        let stream = doing("making a stream", context.new_stream())?;
        // SAFETY: all memory of this stage is used on its one stream, so no events are needed between streams.
        unsafe { context.disable_event_tracking() };
        let attribute = |which| doing("asking the GPU", context.attribute(which)).map(|value| value as usize);
        let major = attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?;
        let shared = attribute(Attribute::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN)?;
        let processors = attribute(Attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT)?;
        let mut functions = HashMap::new();
        for (image, names) in IMAGES {
            let module = doing("loading kernels", context.load_module(Ptx::from_binary(image.to_vec())))?;
            for name in names.iter().copied().flatten() {
                functions.insert(*name, doing("finding a kernel", module.load_function(name))?);
            }
        }
        let most = sys::CUfunction_attribute_enum::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
        for name in super::kernels::MATVEC {
            if let Some(function) = functions.get(name) {
                // What a kernel declares itself counts, too: 1 KiB at most.
                doing("giving a kernel shared memory", function.set_attribute(most, (shared - 1024) as i32))?;
            }
        }
        let blas_memory = Self::allocate_on(&stream, BLAS_BYTES)?;
        let handle = blas::create_handle().map_err(GpuError::Blas)?;
        // SAFETY: the handle is new, the stream and the memory live as long as it.
        unsafe {
            blas::set_stream(handle, stream.cu_stream().cast()).map_err(GpuError::Blas)?;
            blas_sys::cublasSetWorkspace_v2(handle, blas_memory.at() as *mut c_void, BLAS_BYTES)
                .result()
                .map_err(GpuError::Blas)?;
        }
        Ok(Gpu {
            functions,
            blas: handle,
            _blas_memory: blas_memory,
            processors,
            shared: shared - 1024,
            tensor_cores: major >= 8,
            overlaps: major >= 9,
            launches: Cell::new(0),
            stream,
            context,
        })
    }

    /// Memory whose contents are not set.
    pub(super) fn allocate(&self, bytes: usize) -> Result<Memory> {
        Self::allocate_on(&self.stream, bytes)
    }

    fn allocate_on(stream: &Arc<CudaStream>, bytes: usize) -> Result<Memory> {
        // SAFETY: whatever is in the memory, it is plain bytes; every kernel writes what it or a later one reads.
        let slice = doing("taking memory", unsafe { stream.alloc::<u8>(bytes.max(16)) })?;
        Ok(Memory { slice, stream: Arc::clone(stream) })
    }

    /// Memory of zeros.
    pub(super) fn zeros(&self, bytes: usize) -> Result<Memory> {
        let mut memory = self.allocate(bytes)?;
        doing("clearing memory", self.stream.memset_zeros(&mut memory.slice))?;
        Ok(memory)
    }

    /// Main memory that kernels can write to.
    pub(super) fn share(&self, bytes: usize) -> Result<Shared> {
        doing("using the GPU", self.context.bind_to_thread())?;
        // SAFETY: freed by the value that is made of it.
        let at = doing("taking main memory", unsafe { driver::malloc_host(bytes, sys::CU_MEMHOSTALLOC_DEVICEMAP) })?;
        Ok(Shared { at: at.cast(), bytes, _context: Arc::clone(&self.context) })
    }

    /// Writes bytes from a place in memory on. They may be changed when this returns.
    pub(super) fn write(&self, memory: &Memory, start: usize, bytes: &[u8]) -> Result<()> {
        assert!(start + bytes.len() <= memory.bytes(), "within the memory");
        doing("using the GPU", self.context.bind_to_thread())?;
        let to = memory.at() + start as u64;
        // SAFETY: the target is within the memory. Bytes of ordinary main memory are read before the call returns.
        doing("writing memory", unsafe { driver::memcpy_htod_async(to, bytes, self.stream.cu_stream()) })
    }

    /// Reads from a place in memory on, once the stream has got there.
    pub(super) fn read(&self, memory: &Memory, start: usize, bytes: &mut [u8]) -> Result<()> {
        assert!(start + bytes.len() <= memory.bytes(), "within the memory");
        doing("using the GPU", self.context.bind_to_thread())?;
        let from = memory.at() + start as u64;
        // SAFETY: the source is within the memory, and the stream is waited for while the bytes are borrowed.
        doing("reading memory", unsafe { driver::memcpy_dtoh_async(bytes, from, self.stream.cu_stream()) })?;
        self.finish()
    }

    /// Waits until all is done that was asked for.
    pub(super) fn finish(&self) -> Result<()> {
        doing("computing", self.stream.synchronize())
    }

    /// How many blocks of a kernel fit a multiprocessor.
    pub(super) fn resident(&self, kernel: &str, threads: u32, shared: usize) -> Result<usize> {
        let function = self.function(kernel)?;
        let blocks = function.occupancy_max_active_blocks_per_multiprocessor(threads, shared, None);
        Ok(doing("asking for a kernel's blocks", blocks)? as usize)
    }

    fn function(&self, kernel: &str) -> Result<&CudaFunction> {
        self.functions.get(kernel).ok_or_else(|| GpuError::Kernel(kernel.to_owned()))
    }

    /// Kernels that were launched so far, those of replayed graphs too.
    pub(super) fn launches(&self) -> u64 {
        self.launches.get()
    }

    /// Copies within the memory, which is as large as both.
    pub(super) fn copy(&self, memory: &Memory) -> Result<()> {
        let half = memory.bytes() / 2;
        let (from, to) = (memory.at(), memory.at() + half as u64);
        // SAFETY: both halves are within the memory and do not overlap.
        doing("copying memory", unsafe { driver::memcpy_dtod_async(to, from, half, self.stream.cu_stream()) })
    }

    /// Launches a kernel whose one parameter is `args`, a `repr(C)` type with the kernel's own layout.
    pub(super) fn launch<A: Copy>(&self, kernel: &str, grid: Grid, args: &A) -> Result<()> {
        let function = self.function(kernel)?;
        self.launches.set(self.launches.get() + 1);
        let mut attribute = sys::CUlaunchAttribute_st {
            id: sys::CUlaunchAttributeID::CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION,
            pad: [0; 4],
            value: sys::CUlaunchAttributeValue_union { programmaticStreamSerializationAllowed: 1 },
        };
        let config = sys::CUlaunchConfig_st {
            gridDimX: grid.blocks.0,
            gridDimY: grid.blocks.1,
            gridDimZ: grid.blocks.2,
            blockDimX: grid.threads,
            blockDimY: 1,
            blockDimZ: 1,
            sharedMemBytes: grid.shared,
            hStream: self.stream.cu_stream(),
            attrs: &mut attribute,
            numAttrs: u32::from(self.overlaps),
        };
        let mut parameters = [std::ptr::from_ref(args).cast_mut().cast::<c_void>()];
        // SAFETY: configuration and parameters are read before the call returns; addresses in `args` are of memory that is
        // freed on this stream, after the kernel.
        let launched = unsafe {
            sys::cuLaunchKernelEx(&config, function.cu_function(), parameters.as_mut_ptr(), std::ptr::null_mut())
        };
        doing("launching a kernel", launched.result())
    }

    /// Multiplies with cuBLAS.
    pub(super) fn gemm(&self, gemm: &Gemm) -> Result<()> {
        use blas_sys::{cublasComputeType_t as Compute, cublasGemmAlgo_t as Algorithm, cublasOperation_t as Operation};
        let Gemm { element, w, w_stride, x, y, y_stride, rows, n, k, scale, keep } = *gemm;
        self.launches.set(self.launches.get() + 1);
        let dtype = match element {
            Element::F32 => blas_sys::cudaDataType::CUDA_R_32F,
            Element::F16 => blas_sys::cudaDataType::CUDA_R_16F,
            Element::Bf16 => blas_sys::cudaDataType::CUDA_R_16BF,
        };
        // cuBLAS' matrices lie column by column, so that ours are their transposes: yᵀ = w × xᵀ.
        // SAFETY: the caller's matrices have these sizes; the factors are read before the call returns.
        let done = unsafe {
            blas::gemm_ex(
                self.blas,
                Operation::CUBLAS_OP_T,
                Operation::CUBLAS_OP_N,
                n as i32,
                rows as i32,
                k as i32,
                std::ptr::from_ref(&scale).cast(),
                w as *const c_void,
                dtype,
                w_stride as i32,
                x as *const c_void,
                dtype,
                k as i32,
                std::ptr::from_ref(&keep).cast(),
                y as *mut c_void,
                blas_sys::cudaDataType::CUDA_R_32F,
                y_stride as i32,
                Compute::CUBLAS_COMPUTE_32F,
                Algorithm::CUBLAS_GEMM_DFALT,
            )
        };
        done.map_err(GpuError::Blas)
    }

    /// Captures what `launches` asks for instead of doing it.
    pub(super) fn capture(&self, launches: impl FnOnce() -> Result<()>) -> Result<Graph> {
        let mode = sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
        doing("capturing a graph", self.stream.begin_capture(mode))?;
        let before = self.launches.get();
        let launched = launches();
        let launches = self.launches.replace(before) - before;
        // What was begun is ended even if a launch failed. 0: no flags.
        let ended = self.stream.end_capture(sys::CUgraphInstantiate_flags(0));
        launched?;
        let graph = doing("capturing a graph", ended)?;
        graph.map(|graph| Graph { graph, launches }).ok_or_else(|| GpuError::Kernel("of an empty graph".to_owned()))
    }

    /// Does what was captured.
    pub(super) fn replay(&self, graph: &Graph) -> Result<()> {
        self.launches.set(self.launches.get() + graph.launches);
        doing("replaying a graph", graph.graph.launch())
    }
}

impl Drop for Gpu {
    fn drop(&mut self) {
        let _ = self.stream.synchronize();
        // SAFETY: made by `open`, destroyed once.
        let _ = unsafe { blas::destroy_handle(self.blas) };
    }
}
