# Everything installed is found relative to itself, so that a prefix can be moved.
include(CMakePackageConfigHelpers)
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/ocelli)
set(models printed-line-ocr emoji-caption emoji-match emoji-vqa emoji-chat)

install(FILES include/ocelli.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(TARGETS ocelli_shared EXPORT ocelli-targets)
# Apart, since only who links it has to find the libraries that it needs.
install(TARGETS ocelli_static EXPORT ocelli-static-targets)
if(TARGET ocelli_command)
    install(TARGETS ocelli_command)
endif()

foreach(set ocelli-targets ocelli-static-targets)
    install(EXPORT ${set} NAMESPACE ocelli:: DESTINATION ${package_dir})
endforeach()
configure_package_config_file(cmake/ocelli-config.cmake.in ocelli-config.cmake
                              INSTALL_DESTINATION ${package_dir})
write_basic_package_version_file(ocelli-config-version.cmake
                                 COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/ocelli-config.cmake
              ${PROJECT_BINARY_DIR}/ocelli-config-version.cmake
        DESTINATION ${package_dir})

# ${pcfiledir} is where ocelli.pc lies: libdir/pkgconfig.
file(RELATIVE_PATH pc_to_prefix /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
list(JOIN OCELLI_REQUIRES " " pc_requires)
configure_file(packaging/ocelli.pc.in ocelli.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/ocelli.pc
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

foreach(model IN LISTS models)
    install(DIRECTORY models/${model} DESTINATION ${CMAKE_INSTALL_DATADIR}/ocelli/models)
endforeach()
install(FILES packaging/ocelli.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
install(FILES packaging/completions/ocelli.bash RENAME ocelli
        DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
install(FILES packaging/completions/_ocelli
        DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions)
install(FILES packaging/completions/ocelli.fish
        DESTINATION ${CMAKE_INSTALL_DATADIR}/fish/vendor_completions.d)
foreach(page README.md LICENSE CHANGELOG.md)
    if(EXISTS ${PROJECT_SOURCE_DIR}/${page})
        install(FILES ${page} DESTINATION ${CMAKE_INSTALL_DOCDIR})
    endif()
endforeach()
