# SPDX-License-Identifier: Apache-2.0
# Joins the page's parts when one of them changes. Sets page_html_cpp.
set(page_dir ${CMAKE_CURRENT_LIST_DIR})
set(page_out ${CMAKE_CURRENT_BINARY_DIR}/page)
set(page_html_cpp ${page_out}/page_html.cpp)
file(GLOB page_parts CONFIGURE_DEPENDS ${page_dir}/*.js ${page_dir}/*.css ${page_dir}/*.html)
add_custom_command(
  OUTPUT ${page_html_cpp} BYPRODUCTS ${page_out}/index.html
  COMMAND ${CMAKE_COMMAND} -DOUT=${page_out} -P ${page_dir}/join.cmake
  DEPENDS ${page_parts} ${page_dir}/join.cmake)
