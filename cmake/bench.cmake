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
target_sources(bench_models PRIVATE bench/checkpoint.c bench/inputs.c)
target_sources(bench_vipllava PRIVATE bench/checkpoint.c bench/checkpoint_vipllava.c)

# Yardsticks of bench_kernels, where they are installed; the product uses neither.
find_path(OPENBLAS_INCLUDE cblas.h PATH_SUFFIXES openblas)
find_library(OPENBLAS_LIBRARY openblas)
find_path(DNNL_INCLUDE oneapi/dnnl/dnnl.h)
find_library(DNNL_LIBRARY dnnl)
foreach(peer OPENBLAS DNNL)
    if(${peer}_INCLUDE AND ${peer}_LIBRARY)
        target_compile_definitions(bench_kernels PRIVATE OCELLI_HAVE_${peer})
        target_include_directories(bench_kernels PRIVATE ${${peer}_INCLUDE})
        target_link_libraries(bench_kernels PRIVATE ${${peer}_LIBRARY})
    endif()
endforeach()
