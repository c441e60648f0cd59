# bench/<name>.c is the program build/bench/<name>. Benches may look inside the library.
file(GLOB bench_sources CONFIGURE_DEPENDS bench/*.c)
add_custom_target(bench_programs)
foreach(source IN LISTS bench_sources)
    cmake_path(GET source STEM name)
    add_executable(bench_${name} ${source})
    target_compile_options(bench_${name} PRIVATE ${OCELLI_WARNINGS})
    target_include_directories(bench_${name} PRIVATE src)
    target_link_libraries(bench_${name} PRIVATE ocelli_static)
    set_target_properties(bench_${name} PROPERTIES
        OUTPUT_NAME ${name} RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/bench)
    add_dependencies(bench_programs bench_${name})
endforeach()
