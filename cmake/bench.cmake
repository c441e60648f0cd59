# bench/bench_<name>.c is the program build/bench/bench_<name>. Benches may look inside the
# library.
file(GLOB bench_sources CONFIGURE_DEPENDS bench/bench_*.c)
add_custom_target(bench_programs)
foreach(source IN LISTS bench_sources)
    cmake_path(GET source STEM name)
    add_executable(${name} ${source})
    target_compile_options(${name} PRIVATE ${OCELLI_WARNINGS})
    target_include_directories(${name} PRIVATE src)
    target_link_libraries(${name} PRIVATE ocelli_static)
    set_target_properties(${name} PROPERTIES
        RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/bench)
    add_dependencies(bench_programs ${name})
endforeach()
target_sources(bench_models PRIVATE bench/checkpoint.c)

# Yardsticks, where they are installed. Neither is ever linked to the product.
pkg_check_modules(OPENBLAS QUIET IMPORTED_TARGET openblas)
if(OPENBLAS_FOUND)
    target_link_libraries(bench_kernels PRIVATE PkgConfig::OPENBLAS)
    target_compile_definitions(bench_kernels PRIVATE OCELLI_HAVE_OPENBLAS)
endif()
find_library(DNNL_LIBRARY dnnl)
find_path(DNNL_INCLUDE_DIR oneapi/dnnl/dnnl.h)
if(DNNL_LIBRARY AND DNNL_INCLUDE_DIR)
    target_link_libraries(bench_kernels PRIVATE ${DNNL_LIBRARY})
    target_include_directories(bench_kernels SYSTEM PRIVATE ${DNNL_INCLUDE_DIR})
    target_compile_definitions(bench_kernels PRIVATE OCELLI_HAVE_DNNL)
endif()
