# libocelli.so.0, libocelli.a and the command, all left directly in the build folder.
file(GLOB library_sources CONFIGURE_DEPENDS
     src/*/*.c src/backend/cpu/*.c)
file(GLOB command_sources CONFIGURE_DEPENDS cli/*.c)

# One kernel text per ISA; which one runs is decided at run time (src/base/cpu.c). Only
# these files may use the instructions that their flags allow.
set(x86_flags_avx2 -mavx2 -mfma -mf16c)
set(x86_flags_avx512 ${x86_flags_avx2} -mavx512f -mavx512bw -mavx512dq -mavx512vl)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$")
    include(CheckCCompilerFlag)
    foreach(isa avx2 avx512)
        list(JOIN x86_flags_${isa} " " flags)
        check_c_compiler_flag("${flags}" OCELLI_COMPILER_HAS_${isa})
        if(NOT OCELLI_COMPILER_HAS_${isa})
            message(FATAL_ERROR "${CMAKE_C_COMPILER} does not know ${flags}")
        endif()
    endforeach()
else()
    list(FILTER library_sources EXCLUDE REGEX "/backend/cpu/avx[^/]*\\.c$")
endif()
foreach(source IN LISTS library_sources)
    if(source MATCHES "/backend/cpu/([a-z]+[0-9]*)[^/]*\\.c$")
        set(options $<$<CONFIG:Release>:-O3> ${x86_flags_${CMAKE_MATCH_1}})
        set_source_files_properties(${source} PROPERTIES COMPILE_OPTIONS "${options}")
    endif()
endforeach()

# Where a program that is not the command looks for bundled models at last.
set_source_files_properties(${PROJECT_SOURCE_DIR}/src/io/locate.c PROPERTIES
    COMPILE_DEFINITIONS OCELLI_MODELS_DIR="${CMAKE_INSTALL_FULL_DATADIR}/ocelli/models")

# Everything else is the same with and without libcurl.
if(OCELLI_CURL)
    set_source_files_properties(${PROJECT_SOURCE_DIR}/src/io/http.c PROPERTIES
        COMPILE_DEFINITIONS OCELLI_CURL)
endif()

# Compiled once, position-independent, and linked twice.
add_library(ocelli_objects OBJECT ${library_sources})
set_target_properties(ocelli_objects PROPERTIES
    POSITION_INDEPENDENT_CODE ON C_VISIBILITY_PRESET hidden)
target_compile_options(ocelli_objects PRIVATE ${OCELLI_WARNINGS})
target_include_directories(ocelli_objects PRIVATE include src)
target_link_libraries(ocelli_objects PRIVATE ${OCELLI_DEPENDENCIES} Threads::Threads)

if(OCELLI_CAIRO)
    # One file knows of it, and says so where it is missing.
    set_property(SOURCE ${PROJECT_SOURCE_DIR}/src/image/overlay.c APPEND PROPERTY
                 COMPILE_DEFINITIONS OCELLI_CAIRO)
endif()

add_library(ocelli_shared SHARED $<TARGET_OBJECTS:ocelli_objects>)
target_link_libraries(ocelli_shared PRIVATE ${OCELLI_DEPENDENCIES} Threads::Threads m)
if(OCELLI_WERROR)
    # Not in every build: sanitizers leave their symbols to the program.
    target_link_options(ocelli_shared PRIVATE -Wl,--no-undefined)
endif()
set_target_properties(ocelli_shared PROPERTIES
    OUTPUT_NAME ocelli EXPORT_NAME ocelli
    VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR}
    LINKER_LANGUAGE C)

add_library(ocelli_static STATIC $<TARGET_OBJECTS:ocelli_objects>)
target_link_libraries(ocelli_static PUBLIC ${OCELLI_DEPENDENCIES} Threads::Threads m)
set_target_properties(ocelli_static PROPERTIES
    OUTPUT_NAME ocelli EXPORT_NAME static LINKER_LANGUAGE C)

foreach(kind shared static)
    target_include_directories(ocelli_${kind} PUBLIC
        $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/include>
        $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
endforeach()
add_library(ocelli::ocelli ALIAS ocelli_shared)
add_library(ocelli::static ALIAS ocelli_static)

# What plain `make` builds.
add_custom_target(product DEPENDS ocelli_shared ocelli_static)

# The command uses the public header alone, but carries the library inside, so that
# build/ocelli runs from wherever it is copied to.
if(command_sources)
    add_executable(ocelli_command ${command_sources})
    target_compile_options(ocelli_command PRIVATE ${OCELLI_WARNINGS})
    target_link_libraries(ocelli_command PRIVATE ocelli_static)
    set_target_properties(ocelli_command PROPERTIES OUTPUT_NAME ocelli)
    add_dependencies(product ocelli_command)
endif()

foreach(target ocelli_shared ocelli_static ocelli_command)
    if(TARGET ${target})
        set_target_properties(${target} PROPERTIES
            RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}
            LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}
            ARCHIVE_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR})
    endif()
endforeach()
