use plywood::layers;

layers! {
    struct Web;

    FROM "debian:12";
    RUN "0"; RUN "1"; RUN "2"; RUN "3"; RUN "4"; RUN "5"; RUN "6"; RUN "7"; RUN "8"; RUN "9"; RUN "10"; RUN "11"; RUN "12"; RUN "13"; RUN "14"; RUN "15"; RUN "16"; RUN "17";
    RUN "18"; RUN "19"; RUN "20"; RUN "21"; RUN "22"; RUN "23"; RUN "24"; RUN "25"; RUN "26"; RUN "27"; RUN "28"; RUN "29"; RUN "30"; RUN "31"; RUN "32"; RUN "33"; RUN "34"; RUN "35";
    RUN "36"; RUN "37"; RUN "38"; RUN "39"; RUN "40"; RUN "41"; RUN "42"; RUN "43"; RUN "44"; RUN "45"; RUN "46"; RUN "47"; RUN "48"; RUN "49"; RUN "50"; RUN "51"; RUN "52"; RUN "53";
    RUN "54"; RUN "55"; RUN "56"; RUN "57"; RUN "58"; RUN "59"; RUN "60"; RUN "61"; RUN "62"; RUN "63"; RUN "64"; RUN "65"; RUN "66"; RUN "67"; RUN "68"; RUN "69"; RUN "70"; RUN "71";
    RUN "72"; RUN "73"; RUN "74"; RUN "75"; RUN "76"; RUN "77"; RUN "78"; RUN "79"; RUN "80"; RUN "81"; RUN "82"; RUN "83"; RUN "84"; RUN "85"; RUN "86"; RUN "87"; RUN "88"; RUN "89";
    RUN "90"; RUN "91"; RUN "92"; RUN "93"; RUN "94"; RUN "95"; RUN "96"; RUN "97"; RUN "98"; RUN "99"; RUN "100"; RUN "101"; RUN "102"; RUN "103"; RUN "104"; RUN "105"; RUN "106"; RUN "107";
    RUN "108"; RUN "109"; RUN "110"; RUN "111"; RUN "112"; RUN "113"; RUN "114"; RUN "115"; RUN "116"; RUN "117"; RUN "118"; RUN "119"; RUN "120"; RUN "121"; RUN "122"; RUN "123"; RUN "124"; RUN "125";
}

fn main() {}
