# fuzz/fuzz_<name>.c defines LLVMFuzzerTestOneInput. With OCELLI_FUZZ it becomes a
# libFuzzer program; in a test build, of any compiler, replay.c feeds it
# fuzz/corpus/<name>.
file(GLOB fuzz_sources CONFIGURE_DEPENDS fuzz/fuzz_*.c)
foreach(source IN LISTS fuzz_sources)
    cmake_path(GET source STEM target)
    string(REGEX REPLACE "^fuzz_" "" name ${target})
    if(OCELLI_FUZZ)
        add_executable(${target} ${source})
        target_link_options(${target} PRIVATE -fsanitize=fuzzer)
    else()
        add_executable(${target} ${source} fuzz/replay.c)
        add_test(NAME fuzz.${name}
                 COMMAND ${target} ${PROJECT_SOURCE_DIR}/fuzz/corpus/${name})
        register_test(fuzz.${name} fuzz)
    endif()
    target_compile_options(${target} PRIVATE ${OCELLI_TEST_WARNINGS})
    target_include_directories(${target} PRIVATE src fuzz)
    target_link_libraries(${target} PRIVATE ocelli_static)
    set_target_properties(${target} PROPERTIES
        RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/fuzz)
endforeach()
