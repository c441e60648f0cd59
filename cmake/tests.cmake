# tests/<area>/test_<topic>.c is the test <area>.<topic>, a program of its own over the
# static library with the internal headers in reach; tests/<area>/test_<topic>.sh is a
# test script. Both run in the top folder. Exit status 77 means skipped.
pkg_check_modules(CMOCKA IMPORTED_TARGET cmocka)
if(NOT CMOCKA_FOUND)
    message(FATAL_ERROR "cmocka is missing: run tools/setup.sh test")
endif()

set(test_environment
    "OCELLI=${PROJECT_BINARY_DIR}/ocelli"       # the command
    "OCELLI_BUILD=${PROJECT_BINARY_DIR}"
    "OCELLI_MODELS=${PROJECT_SOURCE_DIR}/models"    # a build folder may be anywhere
    "CC=${CMAKE_C_COMPILER}")

function(register_test name area)
    set(labels ${area})
    if(name MATCHES "pool|thread|determin")
        list(APPEND labels threads)             # what CI repeats under ThreadSanitizer
        set_tests_properties(${name} PROPERTIES PROCESSORS 2)
    endif()
    set_tests_properties(${name} PROPERTIES
        LABELS "${labels}" TIMEOUT ${OCELLI_TEST_TIMEOUT} SKIP_RETURN_CODE 77
        WORKING_DIRECTORY ${PROJECT_SOURCE_DIR} ENVIRONMENT "${test_environment}")
endfunction()

# Helpers that several tests share; linked into each.
file(GLOB support_sources CONFIGURE_DEPENDS tests/support/*.c)
if(support_sources)
    add_library(test_support OBJECT ${support_sources})
    target_compile_options(test_support PRIVATE ${OCELLI_TEST_WARNINGS})
    target_include_directories(test_support PRIVATE src tests)
    target_link_libraries(test_support PUBLIC ocelli_static PkgConfig::CMOCKA)
endif()

# A hub to download from, which misbehaves as told.
add_executable(hub_server tests/support/server/hub_server.c)
target_compile_options(hub_server PRIVATE ${OCELLI_TEST_WARNINGS})
target_include_directories(hub_server PRIVATE src)
target_link_libraries(hub_server PRIVATE ocelli_static)
set_target_properties(hub_server PROPERTIES
    RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests/support)

file(GLOB test_sources CONFIGURE_DEPENDS tests/*/test_*.c)
foreach(source IN LISTS test_sources)
    cmake_path(GET source STEM topic)
    cmake_path(GET source PARENT_PATH folder)
    cmake_path(GET folder FILENAME area)
    string(REGEX REPLACE "^test_" "" topic ${topic})
    set(target test_${area}_${topic})
    add_executable(${target} ${source})
    target_compile_options(${target} PRIVATE ${OCELLI_TEST_WARNINGS})
    target_include_directories(${target} PRIVATE src tests ${folder})
    target_link_libraries(${target} PRIVATE ocelli_static PkgConfig::CMOCKA)
    if(support_sources)
        target_link_libraries(${target} PRIVATE test_support)
    endif()
    set_target_properties(${target} PROPERTIES
        OUTPUT_NAME test_${topic}
        RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/tests/${area})
    add_test(NAME ${area}.${topic} COMMAND ${target})
    register_test(${area}.${topic} ${area})
endforeach()

file(GLOB test_scripts CONFIGURE_DEPENDS tests/*/test_*.sh)
foreach(script IN LISTS test_scripts)
    cmake_path(GET script STEM topic)
    cmake_path(GET script PARENT_PATH folder)
    cmake_path(GET folder FILENAME area)
    string(REGEX REPLACE "^test_" "" topic ${topic})
    add_test(NAME ${area}.${topic}.sh COMMAND bash ${script})
    register_test(${area}.${topic}.sh ${area})
endforeach()

foreach(check style layers)
    add_test(NAME tools.${check} COMMAND perl tools/check_${check}.pl)
    register_test(tools.${check} tools)
endforeach()
