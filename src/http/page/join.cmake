# SPDX-License-Identifier: Apache-2.0
# Joins the page's parts into one file, and writes it as a C++ string: cmake -DOUT=DIR -P join.cmake
set(scripts dom markdown store api metrics chart live chat main)
file(READ ${CMAKE_CURRENT_LIST_DIR}/index.html page)
file(READ ${CMAKE_CURRENT_LIST_DIR}/style.css style)
set(script "\"use strict\";\n{\n")
foreach(name ${scripts})
  file(READ ${CMAKE_CURRENT_LIST_DIR}/${name}.js part)
  string(APPEND script "${part}")
endforeach()
string(APPEND script "}\n")
string(REPLACE "/*STYLE*/" "${style}" page "${page}")
string(REPLACE "/*SCRIPT*/" "${script}" page "${page}")
file(WRITE ${OUT}/index.html "${page}")

set(code "// Written by join.cmake from src/http/page.\n#include \"http/page/page.h\"\n\n")
string(APPEND code "namespace veloz::http {\n\nstd::string_view page_html() {\n  return R\"VELOZPAGE(${page})VELOZPAGE\";\n}\n")
string(APPEND code "\n}  // namespace veloz::http\n")
file(WRITE ${OUT}/page_html.cpp "${code}")
